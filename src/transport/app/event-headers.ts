import { isHeaderName, type RawHeaders } from "../../core/raw-headers.ts";
import { requestHeadersFromApp } from "../../invocation/forward-headers.ts";

/** What goes beside an event to an app that speaks HTTP (A8; observed/, "publish"). */

export interface EventTrace {
  /** Empty for none: an event that is no CloudEvent has none. */
  readonly traceparent: string;
  readonly tracestate: string | undefined;
}

/** The sidecar's own to say, of the delivery or to the app, whatever a publisher has said. */
const NOT_PASSED = new Set(["connection", "content-type", "content-encoding", "dapr-api-token", "dapr-app-id"]);

// What no header can have in it: it would end there. Other bytes than ASCII go as UTF-8, as Go writes them.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/;

/** Names in order and written as Go writes them. What no header can be, or is about the connection, is left out. */
export function eventHeaders(
  contentType: string,
  metadata: ReadonlyMap<string, string>,
  { traceparent, tracestate }: EventTrace,
): RawHeaders {
  const headers: RawHeaders = ["Content-Type", contentType, ...requestHeadersFromApp(passedOf(metadata))];
  if (traceparent !== "" && !CONTROL.test(traceparent)) headers.push("Traceparent", asBytes(traceparent));
  if (tracestate !== undefined && tracestate !== "" && !CONTROL.test(tracestate)) {
    headers.push("Tracestate", asBytes(tracestate));
  }
  return headers;
}

function passedOf(metadata: ReadonlyMap<string, string>): RawHeaders {
  const byName = new Map<string, string>();
  for (const [name, value] of metadata) {
    if (isHeaderName(name) && !CONTROL.test(value) && !NOT_PASSED.has(name.toLowerCase())) {
      byName.set(goName(name), asBytes(value.trim()));
    }
  }
  return [...byName].sort(([a], [b]) => (a < b ? -1 : 1)).flat();
}

/** `pubsubName` as `Pubsubname`, which apps have always seen. */
function goName(name: string): string {
  return name.toLowerCase().replaceAll(/(?:^|-)[a-z]/g, (start) => start.toUpperCase());
}

/** Headers are held as latin1 code units. */
function asBytes(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}
