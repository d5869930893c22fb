import { NO_TRACE, type TraceContext, traceContextOf } from "../core/trace-context.ts";
import type { Span, SpanOutcome, Tracer } from "../core/tracer.ts";
import type { CloudEvent } from "./cloud-event.ts";
import type { Reception } from "./ports.ts";

/** Of the event itself: what it was published with, well-formed or not, all zeros for none; empty where it has no place for one. */
export function traceparentOf(event: CloudEvent): string {
  // `traceid` is what daprds have written that knew no `traceparent`.
  const name = ["traceparent", "traceid"].find((member) => event.raw(member) !== undefined);
  return name === undefined ? "" : (textIn(event, name) ?? NO_TRACE);
}

/** Undefined where it has none, or an empty one. */
export function tracestateOf(event: CloudEvent): string | undefined {
  return textIn(event, "tracestate");
}

function textIn(event: CloudEvent, name: string): string | undefined {
  // Most events have them and they are empty, which need not be read to be known.
  return event.raw(name) === '""' ? undefined : event.text(name);
}

/** A span around one try to hand an event to the app, under the names of daprd's (pkg/diagnostics). @param event undefined for bytes. */
export function startEventSpan(tracer: Tracer, topic: string, event: CloudEvent | undefined): Span {
  const span = tracer.start("client", `pubsub/${topic}`, parentOf(event));
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

function parentOf(event: CloudEvent | undefined): TraceContext {
  if (event === undefined) return traceContextOf([]);
  const [traceparent, tracestate] = [traceparentOf(event), tracestateOf(event)];
  return traceContextOf([
    ...(traceparent === "" ? [] : ["traceparent", traceparent]),
    ...(tracestate === undefined ? [] : ["tracestate", tracestate]),
  ]);
}
