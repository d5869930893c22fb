import http from "node:http";
import {
  type Span as ApiSpan,
  SpanKind as ApiSpanKind,
  trace as api,
  createTraceState,
  ROOT_CONTEXT,
  SpanStatusCode,
} from "@opentelemetry/api";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { AlwaysOnSampler, BasicTracerProvider, type SpanProcessor } from "@opentelemetry/sdk-trace-base";
import { GRPC_CODE } from "../../core/grpc-code.ts";
import { type SpanReference, spanReferenceIn, type TraceContext } from "../../core/trace-context.ts";
import type { Span, SpanAttributes, SpanKind, SpanOutcome, Tracer } from "../../core/tracer.ts";
import { Sampling } from "./sampling.ts";
import { SpanIds } from "./span-ids.ts";
import type { SpanSink } from "./span-sink.ts";

export interface OtelTracerParts {
  /** `service.name`: the app's id, or what OTEL_SERVICE_NAME says. */
  readonly serviceName: string;
  readonly samplingRate: number;
  readonly sinks: readonly SpanSink[];
}

/** A tracer, and the end of what it sends to. */
export interface ClosableTracer extends Tracer {
  /** Sends what is waiting, for `ms` at most. Never rejects. */
  flush(ms: number): Promise<void>;
  /** Gives up what is left. May be called twice. */
  close(): Promise<void>;
}

/**
 * Spans recorded by OpenTelemetry's SDK, with a provider of their own: nothing is registered for the process, in which many
 * Sidecars may live. Spans that are not sampled never come near it.
 */
export class OtelTracer implements ClosableTracer {
  readonly #sampling: Sampling;
  readonly #ids = new SpanIds();
  readonly #sinks: readonly SpanSink[];
  readonly #recorder;
  /** Of the span that is being started: it was sampled by this, before the SDK gets to know of it. */
  #traceId = "";

  constructor({ serviceName, samplingRate, sinks }: OtelTracerParts) {
    this.#sampling = new Sampling(samplingRate);
    this.#sinks = sinks;
    const provider = new BasicTracerProvider({
      resource: resourceFromAttributes({ "service.name": serviceName }),
      sampler: new AlwaysOnSampler(),
      idGenerator: { generateTraceId: () => this.#traceId, generateSpanId: () => this.#ids.spanId() },
      spanProcessors: [processorTo(sinks)],
    });
    this.#recorder = provider.getTracer("outrigger");
  }

  start(kind: SpanKind, name: string, context: TraceContext): Span {
    const parent = spanReferenceIn(context.traceparent);
    this.#traceId = parent?.traceId ?? this.#ids.traceId();
    const isSampled = this.#sampling.isSampled(this.#traceId, parent);
    const flags = this.#sampling.flags(isSampled, parent);
    // What belongs to a trace that is not gone on with is dropped with it (W3C Trace Context 3.4).
    const tracestate = parent === undefined ? undefined : context.tracestate;
    const { baggage } = context;
    if (!isSampled) {
      const traceparent = `00-${this.#traceId}-${this.#ids.spanId()}-${flags}`;
      return new UnsampledSpan({ traceparent, answeredTraceparent: traceparent, tracestate, baggage });
    }
    const recorded = this.#record(kind, name, parent, tracestate);
    const traceparent = `00-${this.#traceId}-${recorded.spanContext().spanId}-${flags}`;
    return new RecordedSpan({ traceparent, answeredTraceparent: traceparent, tracestate, baggage }, recorded);
  }

  async flush(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    await Promise.race([Promise.all(this.#sinks.map((sink) => sink.flush())), late]);
    clearTimeout(timer);
  }

  async close(): Promise<void> {
    await Promise.all(this.#sinks.map((sink) => sink.close()));
  }

  #record(kind: SpanKind, name: string, parent: SpanReference | undefined, tracestate: string | undefined): ApiSpan {
    const options = { kind: kind === "client" ? ApiSpanKind.CLIENT : ApiSpanKind.SERVER };
    if (parent === undefined) return this.#recorder.startSpan(name, options, ROOT_CONTEXT);
    const { traceId, spanId, flags } = parent;
    const remote = { traceId, spanId, traceFlags: flags, isRemote: true };
    const traceState = tracestate === undefined ? undefined : createTraceState(tracestate);
    const spanContext = traceState === undefined ? remote : { ...remote, traceState };
    return this.#recorder.startSpan(name, options, api.setSpanContext(ROOT_CONTEXT, spanContext));
  }
}

function processorTo(sinks: readonly SpanSink[]): SpanProcessor {
  return {
    onStart: () => undefined,
    onEnd: (span) => {
      for (const sink of sinks) sink.add(span);
    },
    forceFlush: () => Promise.resolve(),
    shutdown: () => Promise.resolve(),
  };
}

/** All there is to it is its name in the headers. */
class UnsampledSpan implements Span {
  readonly trace: TraceContext;
  readonly isSampled = false;

  constructor(trace: TraceContext) {
    this.trace = trace;
  }

  rename(): void {
    // Nobody will see it.
  }

  describe(): void {
    // As above.
  }

  event(): void {
    // As above.
  }

  end(): void {
    // As above.
  }
}

class RecordedSpan implements Span {
  readonly trace: TraceContext;
  readonly isSampled = true;
  readonly #recorded: ApiSpan;

  constructor(trace: TraceContext, recorded: ApiSpan) {
    this.trace = trace;
    this.#recorded = recorded;
  }

  rename(name: string): void {
    this.#recorded.updateName(name);
  }

  describe(attributes: SpanAttributes): void {
    this.#recorded.setAttributes(attributes);
  }

  event(name: string, attributes: SpanAttributes = {}): void {
    this.#recorded.addEvent(name, attributes);
  }

  end(outcome: SpanOutcome): void {
    if (!this.#recorded.isRecording()) return;
    if ("httpStatus" in outcome) this.#endHttp(outcome.httpStatus);
    else if ("grpcCode" in outcome) this.#endGrpc(outcome.grpcCode, outcome.message);
    else this.#recorded.setStatus({ code: SpanStatusCode.ERROR, message: outcome.error });
    this.#recorded.end();
  }

  /** In daprd's words: everything from 400 on is an error (pkg/diagnostics/http_tracing.go). */
  #endHttp(status: number): void {
    this.#recorded.setAttribute("dapr.status_code", String(status));
    if (status < 400) return;
    const message = `Code(${status}): ${http.STATUS_CODES[status] ?? "Unknown"}`;
    this.#recorded.setStatus({ code: SpanStatusCode.ERROR, message });
  }

  #endGrpc(code: number, message = ""): void {
    this.#recorded.setAttribute("rpc.grpc.status_code", code);
    if (code !== GRPC_CODE.OK) this.#recorded.setStatus({ code: SpanStatusCode.ERROR, message });
  }
}
