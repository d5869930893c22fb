import type { IncomingEvent } from "../components/contract/pubsub.ts";
import type { TopicSubscription } from "../resources/subscription-spec.ts";
import { CloudEvent } from "./cloud-event.ts";
import { rawPayloadEvent } from "./envelope.ts";
import { flagIn } from "./subscription-flags.ts";

/** Makes a CloudEvent of what the broker hands out. @throws {Error} where it is none. */
export type EventReader = (event: IncomingEvent) => CloudEvent;

/** A subscription to raw payloads has every one wrapped (A8). @throws {Error} where it does not say clearly whether it is one. */
export function eventReader({ metadata, pubsub }: Pick<TopicSubscription, "metadata" | "pubsub">): EventReader {
  if (!flagIn(metadata, RAW_PAYLOAD)) return (event) => CloudEvent.parse(event.data);
  return (event) => rawPayloadEvent(event.data, event.topic, pubsub);
}

export const RAW_PAYLOAD = "rawPayload";
