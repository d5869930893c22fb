import type { ReadableSpan } from "@opentelemetry/sdk-trace-base";

/** Where spans go that have ended. None of its methods throws or rejects. */
export interface SpanSink {
  /** Takes the span, or loses it: whoever ends a span never waits. */
  add(span: ReadableSpan): void;
  /** Resolves once all that it was given is sent or lost. */
  flush(): Promise<void>;
  /** Gives up what is left. May be called twice. */
  close(): Promise<void>;
}
