import type { HrTime } from "@opentelemetry/api";
import type { ReadableSpan } from "@opentelemetry/sdk-trace-base";
import type { Logger } from "../../core/logger.ts";
import type { SpanSink } from "./span-sink.ts";

/** `tracing.stdout`: every sampled span as a line of the log. */
export class SpanLog implements SpanSink {
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  add(span: ReadableSpan): void {
    const { traceId, spanId } = span.spanContext();
    const parentId = span.parentSpanContext?.spanId;
    const durationMs = milliseconds(span.duration);
    this.#log.info(`span ${span.name}`, { traceId, spanId, parentId, durationMs, ...span.attributes });
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function milliseconds([seconds, nanoseconds]: HrTime): number {
  return seconds * 1000 + nanoseconds / 1e6;
}
