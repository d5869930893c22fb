import { goJson } from "../../../core/go-json.ts";
import type { EventRules } from "../../../pubsub/ports.ts";
import type { ActiveSubscription, Subscriptions, SubscriptionType } from "../../../pubsub/subscriptions.ts";
import type { RouteRule, TopicSubscription } from "../../../resources/subscription-spec.ts";
import { answer } from "../answer.ts";
import type { ApiRequest } from "../api-request.ts";

/** As it is answered. */
export interface PubSubJson {
  readonly components: readonly PubSubComponentJson[];
  readonly subscriptions: readonly SubscriptionJson[];
}

export interface PubSubComponentJson {
  readonly name: string;
  readonly type: string;
  readonly consumerID: string;
  readonly capabilities: readonly string[];
  /** Whether its dead letters can be looked at. */
  readonly showsEvents: boolean;
}

/** Under the names that `/v1.0/metadata` has for the same (A9). */
export interface SubscriptionJson {
  readonly pubsubname: string;
  readonly topic: string;
  readonly type: SubscriptionType;
  readonly description: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** The default is the one without a condition, and the last. */
  readonly rules: readonly RouteRule[];
  readonly deadLetterTopic?: string | undefined;
}

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
  const overview: PubSubJson = { components, subscriptions: subscriptions.active.map(subscriptionJson) };
  const text = goJson(overview);
  answer(request.exchange, 200, { type: "application/json", text }, request.traceHeaders);
}

function subscriptionJson({ type, subscription, description }: ActiveSubscription): SubscriptionJson {
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

function rulesOf({ rules, defaultPath }: TopicSubscription): readonly RouteRule[] {
  return defaultPath === undefined ? rules : [...rules, { match: "", path: defaultPath }];
}
