import { NO_TRACE, type TraceContext, traceContextOf } from "../core/trace-context.ts";
import type { Span, SpanOutcome, Tracer } from "../core/tracer.ts";
import type { CloudEvent } from "./cloud-event.ts";
import type { Reception } from "./ports.ts";

/** What the broker has beside an event. */
type Beside = ReadonlyMap<string, string>;

/**
 * What the event was published with, well-formed or not, all zeros for none. Where it has no place for one, what stands beside it;
 * empty where nothing does.
 */
export function traceparentOf(event: CloudEvent, beside: Beside): string {
  // `traceid` is what daprds have written that knew no `traceparent`.
  const name = ["traceparent", "traceid"].find((member) => event.has(member));
  if (name === undefined) return beside.get("traceparent") ?? beside.get("traceid") ?? "";
  return textIn(event, name) ?? NO_TRACE;
}

/** Undefined where it has none, or an empty one. */
export function tracestateOf(event: CloudEvent, beside: Beside): string | undefined {
  return event.has("tracestate") ? textIn(event, "tracestate") : beside.get("tracestate");
}

function textIn(event: CloudEvent, name: string): string | undefined {
  const text = event.text(name);
  return text === "" ? undefined : text;
}

/** A span around one try to hand an event to the app, under the names of daprd's (pkg/diagnostics). */
export function startEventSpan(tracer: Tracer, topic: string, event: CloudEvent, beside: Beside): Span {
  const span = tracer.start("client", `pubsub/${topic}`, parentOf(event, beside));
  if (span.isSampled) {
    span.describe({
      "messaging.system": "pubsub",
      "messaging.destination": topic,
      "messaging.destination_kind": "topic",
    });
  }
  return span;
}

export function spanOutcomeOf(reception: Reception): SpanOutcome {
  if (reception.kind === "success") return { grpcCode: 0, message: undefined };
  const { code, why } = reception;
  if (code === undefined) return { error: why };
  return code.protocol === "http" ? { httpStatus: code.code } : { grpcCode: code.code, message: why };
}

function parentOf(event: CloudEvent, beside: Beside): TraceContext {
  const [traceparent, tracestate] = [traceparentOf(event, beside), tracestateOf(event, beside)];
  return traceContextOf([
    ...(traceparent === "" ? [] : ["traceparent", traceparent]),
    ...(tracestate === undefined ? [] : ["tracestate", tracestate]),
  ]);
}
