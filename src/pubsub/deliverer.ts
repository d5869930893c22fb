import type { EventHandler } from "../components/contract/pubsub.ts";
import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/logger.ts";
import type { Tracer } from "../core/tracer.ts";
import type { TopicSubscription } from "../resources/subscription-spec.ts";
import type { EventReceiver, EventRules, PubSubComponent, PubSubObserver } from "./ports.ts";

export interface DelivererParts {
  readonly appId: string;
  readonly subscription: TopicSubscription;
  /** What the log calls the subscription: `orders (declarative, orders-subscription)`. */
  readonly description: string;
  readonly component: PubSubComponent;
  readonly receiver: EventReceiver;
  readonly rules: Pick<EventRules, "policies">;
  readonly observer: PubSubObserver | undefined;
  readonly tracer: Tracer | undefined;
  readonly clock: Clock;
  /** Between 0 and 1. */
  readonly random: () => number;
  readonly log: Logger;
}

/** What happens to the events of one subscription: expiry, route, delivery under policies, dead letters, verdict (A8). */
export class Deliverer {
  readonly #parts: DelivererParts;

  /** @throws {RuleError} for a rule that is no CEL expression; {Error} for other metadata of the subscription that cannot be. */
  constructor(parts: DelivererParts) {
    this.#parts = parts;
  }

  readonly handle: EventHandler = (events) => {
    void this.#parts;
    return Promise.resolve(events.map(() => "done" as const));
  };
}
