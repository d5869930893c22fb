import { goJson } from "../../../core/go-json.ts";
import type { EventRules } from "../../../pubsub/ports.ts";
import type { ActiveSubscription, Subscriptions } from "../../../pubsub/subscriptions.ts";
import type { RouteRule, TopicSubscription } from "../../../resources/subscription-spec.ts";
import { answer } from "../answer.ts";
import type { ApiRequest } from "../api-request.ts";

interface PubSubSource {
  readonly rules: Pick<EventRules, "pubsubs">;
  readonly subscriptions: Pick<Subscriptions, "active">;
}

/** The app's components, and what it is subscribed to. */
export function getPubSub({ rules, subscriptions }: PubSubSource, request: ApiRequest): void {
  const components = [...rules.pubsubs.values()].map(({ name, type, group, broker }) => ({
    name,
    type,
    consumerID: group,
    capabilities: [...broker.features],
    showsEvents: broker.browser !== undefined,
  }));
  const text = goJson({ components, subscriptions: subscriptions.active.map(subscriptionJson) });
  answer(request.exchange, 200, { type: "application/json", text }, request.traceHeaders);
}

/** Under the names that `/v1.0/metadata` has for the same (A9). */
export function subscriptionJson({ type, subscription, description }: ActiveSubscription): Record<string, unknown> {
  const { pubsub, topic, metadata, deadLetterTopic } = subscription;
  return {
    pubsubname: pubsub,
    topic,
    type,
    description,
    metadata: Object.fromEntries(metadata),
    rules: rulesOf(subscription),
    deadLetterTopic,
  };
}

/** The default is the rule without a condition, and the last. */
function rulesOf({ rules, defaultPath }: TopicSubscription): readonly RouteRule[] {
  return defaultPath === undefined ? rules : [...rules, { match: "", path: defaultPath }];
}
