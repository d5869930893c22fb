import type { IncomingEvent } from "../components/contract/pubsub.ts";
import type { LogFields } from "../core/logger.ts";
import type { TopicSubscription } from "../resources/subscription-spec.ts";
import type { CloudEvent } from "./cloud-event.ts";
import type { PubSubComponent } from "./ports.ts";

/** Whose events are logged. */
export interface LoggedSubscription {
  readonly subscription: TopicSubscription;
  readonly description: string;
  readonly component: PubSubComponent;
}

/** What the log calls the subscription of a client that takes its events over a stream. */
export function descriptionOfStream({ pubsub, topic }: Pick<TopicSubscription, "pubsub" | "topic">): string {
  return `${topic} of ${pubsub} (streaming)`;
}

/** @param incoming undefined for what is about the subscription alone. */
export function aboutEvent(
  { subscription, description, component }: LoggedSubscription,
  incoming: IncomingEvent | undefined,
  event: CloudEvent | undefined,
): LogFields {
  return {
    component: component.name,
    topic: incoming?.topic ?? subscription.topic,
    subscription: description,
    event: event?.text("id") ?? incoming?.id,
    brokerId: incoming?.id,
    attempt: incoming?.attempt,
  };
}
