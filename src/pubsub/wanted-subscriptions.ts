import type { SubscriptionSpec, TopicSubscription } from "../resources/subscription-spec.ts";
import type { ActiveSubscription } from "./subscriptions.ts";

/**
 * What an app is subscribed to, of what resources and the app itself say: for one topic the app's word counts, and of
 * several resources the first (A8).
 *
 * @returns by pubsub and topic.
 */
export function wantedSubscriptions(
  declared: readonly SubscriptionSpec[],
  asked: readonly TopicSubscription[],
): ReadonlyMap<string, ActiveSubscription> {
  const wanted = new Map<string, ActiveSubscription>();
  for (const subscription of asked) {
    const description = `${subscription.topic} of ${subscription.pubsub} (programmatic)`;
    putFirst(wanted, { type: "PROGRAMMATIC", subscription, description });
  }
  for (const subscription of declared) {
    const description = `${subscription.topic} of ${subscription.pubsub} (declarative, ${subscription.name})`;
    putFirst(wanted, { type: "DECLARATIVE", subscription, description });
  }
  return wanted;
}

/** Two texts that no two subscriptions share. */
function keyOf({ pubsub, topic }: Pick<TopicSubscription, "pubsub" | "topic">): string {
  return JSON.stringify([pubsub, topic]);
}

/** Whether a subscription would do the same as another one. */
export function isSame(one: ActiveSubscription, other: ActiveSubscription): boolean {
  return one.description === other.description && textOf(one.subscription) === textOf(other.subscription);
}

function putFirst(wanted: Map<string, ActiveSubscription>, active: ActiveSubscription): void {
  const key = keyOf(active.subscription);
  if (!wanted.has(key)) wanted.set(key, active);
}

function textOf({ metadata, rules, defaultPath, deadLetterTopic, bulk }: TopicSubscription): string {
  return JSON.stringify([[...metadata], rules, defaultPath, deadLetterTopic, bulk]);
}
