import type { IncomingEvent } from "../components/contract/pubsub.ts";
import { goJson } from "../core/go-json.ts";
import type { TopicSubscription } from "../resources/subscription-spec.ts";
import { CloudEvent } from "./cloud-event.ts";
import { rawPayloadEvent } from "./envelope.ts";
import { isRawPayload } from "./raw-payload.ts";

/** Makes a CloudEvent of what the broker hands out. @throws {Error} where it is none. */
export type EventReader = (event: IncomingEvent) => CloudEvent;

/**
 * A subscription to raw payloads has every one wrapped (A8). An event that says nothing of its trace is in that which stands beside
 * it.
 *
 * @throws {Error} where it does not say clearly whether it is one.
 */
export function eventReader({ metadata, pubsub }: Pick<TopicSubscription, "metadata" | "pubsub">): EventReader {
  return isRawPayload(metadata)
    ? (event) => withTraceBeside(rawPayloadEvent(event.data, event.topic, pubsub), event)
    : (event) => CloudEvent.parse(event.data);
}

/** As daprd does it: `traceparent` supersedes `traceid`. */
function withTraceBeside(event: CloudEvent, { metadata }: IncomingEvent): CloudEvent {
  if (metadata.size === 0) return event;
  const traceparent = metadata.get("traceparent");
  const said = [
    ["traceid", traceparent ?? metadata.get("traceid")],
    ["traceparent", traceparent],
    ["tracestate", metadata.get("tracestate")],
  ] as const;
  const changes = new Map(said.flatMap(([name, value]) => (value === undefined ? [] : [[name, goJson(value)]])));
  return changes.size === 0 ? event : event.with(changes);
}
