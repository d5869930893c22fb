import { headerValue, headerValues } from "./raw-headers.ts";

const EVENT_STREAM = /^\s*text\/event-stream\s*(?:;|$)/i;

/** Whether an answer with these headers is a stream of server-sent events, which may be silent for any time. */
export function isEventStream(headers: readonly string[]): boolean {
  return EVENT_STREAM.test(headerValue(headers, "content-type") ?? "");
}

/** Whether these headers of a request say that its caller reads event streams, be it among other things. */
export function acceptsEventStream(headers: readonly string[]): boolean {
  return headerValues(headers, "accept").some((value) => value.split(",").some((range) => EVENT_STREAM.test(range)));
}
