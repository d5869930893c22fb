import type { AbortListener } from "../../core/call-signal.ts";
import type { TraceContext } from "../../core/trace-context.ts";
import type { Span, Tracer } from "../../core/tracer.ts";
import { attributesFromHeaders } from "../../invocation/span-attributes.ts";
import type { HttpAnswer, HttpExchange } from "./http-exchange.ts";
import { WrappedExchange } from "./wrapped-exchange.ts";

/**
 * A span around a call to the HTTP API. Undefined for what daprd has no spans for: it takes whatever has `/healthz` in its
 * path for a health check.
 */
export function beginApiSpan(
  tracer: Tracer,
  { method, rawHeaders }: Pick<HttpExchange, "method" | "rawHeaders">,
  path: string,
  parent: TraceContext,
): Span | undefined {
  if (path.includes("/healthz")) return undefined;
  const span = tracer.start("client", path, parent);
  if (span.isSampled) {
    const api = { "dapr.protocol": "http", "dapr.api": `${method} ${path}` };
    span.describe({ ...attributesFromHeaders(rawHeaders), ...api });
  }
  return span;
}

/** An exchange whose span ends as the head of its answer goes out, or once nobody is left to answer. */
export class TracedExchange extends WrappedExchange implements AbortListener {
  readonly #span: Span;

  constructor(inner: HttpExchange, span: Span) {
    super(inner);
    this.#span = span;
    if (inner.signal.aborted) this.handleEvent();
    else inner.signal.addEventListener("abort", this);
  }

  override answer(answer: HttpAnswer): void {
    this.inner.answer(answer);
    // Where that throws, nothing is sent, and another answer follows.
    this.#span.end({ httpStatus: answer.status });
  }

  override cut(): void {
    this.inner.cut();
    this.#span.end({ error: "the answer was cut" });
  }

  handleEvent(): void {
    this.#span.end({ error: "the caller has left" });
  }
}
