import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/logger.ts";
import type { Tracer } from "../core/tracer.ts";
import type { TopicSubscription } from "../resources/subscription-spec.ts";
import type { CloudEvent } from "./cloud-event.ts";
import type { EventApp, EventReceiver, EventRules, PubSubObserver } from "./ports.ts";
import type { RuleTrial } from "./routing.ts";

export interface SubscriptionsParts {
  readonly appId: string;
  readonly rules: EventRules;
  /** Undefined for a sidecar without an app: then there are streams alone. */
  readonly app: EventApp | undefined;
  readonly observer: PubSubObserver | undefined;
  readonly tracer: Tracer | undefined;
  readonly clock: Clock;
  /** Between 0 and 1. */
  readonly random: () => number;
  readonly log: Logger;
}

/** Where a subscription comes from, by daprd's names (A9). */
export type SubscriptionType = "DECLARATIVE" | "PROGRAMMATIC" | "STREAMING";

/** A subscription that is in force. */
export interface ActiveSubscription {
  readonly type: SubscriptionType;
  readonly subscription: TopicSubscription;
  /** For logs: `orders of pubsub (declarative, orders-subscription)`. */
  readonly description: string;
}

/** What would become of an event at one subscription. */
export interface SubscriptionTrial extends ActiveSubscription {
  readonly rules: readonly RuleTrial[];
  /** The path that gets it; undefined where none does. */
  readonly path: string | undefined;
  /** Why none gets it; undefined where one does. */
  readonly why: string | undefined;
}

/** All that one app is subscribed to, and what keeps it so. */
export class Subscriptions {
  readonly #parts: SubscriptionsParts;

  constructor(parts: SubscriptionsParts) {
    this.#parts = parts;
  }

  /** Of all types, by pubsub and topic. */
  get active(): readonly ActiveSubscription[] {
    void this.#parts;
    return [];
  }

  /** Which of them an event of this topic would match, and by which rule. Nothing is delivered. */
  try(_pubsub: string, _topic: string, _event: CloudEvent): readonly SubscriptionTrial[] {
    return [];
  }

  /**
   * Subscribes a client that takes its events over a stream, until the stream is closed.
   *
   * @throws {OutriggerError} pubsubNotFound; {Error} where the subscription cannot be.
   */
  stream(_subscription: TopicSubscription, _receiver: EventReceiver): Promise<StreamingSubscription> {
    return Promise.reject(new Error("no streams"));
  }
}

export interface StreamingSubscription {
  /** No more events come. May be called twice. */
  close(): Promise<void>;
}
