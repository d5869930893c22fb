import type { TraceContext } from "./trace-context.ts";

/**
 * Starts the spans of one Sidecar. Implemented by observability/; where no exporter is configured there is no tracer, and
 * trace contexts pass through as they came (A12).
 */
export interface Tracer {
  /** @param parent as the call brought it; of a malformed one or all zeros the span begins a trace of its own. */
  start(kind: SpanKind, name: string, parent: TraceContext): Span;
}

/** `client`: the sidecar of whoever calls. `server`: that of who is called. As daprd has them. */
export type SpanKind = "client" | "server";

/** One piece of work in a trace. */
export interface Span {
  /** What goes on, and back to the caller, in the parent's place: its traceparent names this span. */
  readonly trace: TraceContext;
  /** False where nothing that is said of the span is kept: whoever would have to find it out first need not. */
  readonly isSampled: boolean;
  rename(name: string): void;
  describe(attributes: SpanAttributes): void;
  /** Something that happened meanwhile. */
  event(name: string, attributes?: SpanAttributes): void;
  /** Only the first time counts. */
  end(outcome: SpanOutcome): void;
}

export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

export type SpanOutcome =
  | { readonly httpStatus: number }
  /** google.rpc.Code; the message says what is wrong where it is not OK. */
  | { readonly grpcCode: number; readonly message: string | undefined }
  /** There was no answer at all. */
  | { readonly error: string };
