import type { BrokerSubscription } from "../components/contract/pubsub.ts";
import { CallAbort } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import { Deliverer, type DelivererParts } from "./deliverer.ts";
import { orderingKeyOf } from "./ordering-key.ts";
import type { ActiveSubscription } from "./subscriptions.ts";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

export interface RunningSubscriptionParts extends Omit<DelivererParts, "subscription" | "description" | "isClosing"> {
  readonly active: ActiveSubscription;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A subscription at its broker, from when it is asked for until it is closed. */
export class RunningSubscription {
  readonly active: ActiveSubscription;
  readonly #parts: RunningSubscriptionParts;
  readonly #deliverer: Deliverer;
  readonly #keyOf: ReturnType<typeof orderingKeyOf>;
  readonly #closed = new CallAbort();
  #broker: Promise<BrokerSubscription | undefined> | undefined;
  #giveUp: () => void = () => undefined;
  /** Of whoever closes it with the least patience. */
  readonly #givenUp = new Promise<void>((resolve) => {
    this.#giveUp = resolve;
  });

  /** @throws {RuleError} or {Error} for what the subscription says and cannot be. */
  constructor(parts: RunningSubscriptionParts) {
    const { active } = parts;
    const { subscription, description } = active;
    this.active = active;
    this.#parts = parts;
    this.#deliverer = new Deliverer({ ...parts, subscription, description, isClosing: () => this.#closed.aborted });
    const tell = (why: string): void => {
      parts.log.warn(`an ordering key could not be read: ${why}; such events have no order`, this.#about);
    };
    this.#keyOf = orderingKeyOf(subscription, tell, parts.expressions);
  }

  /** Whether the broker was asked, and not told that it is over. */
  get isOpen(): boolean {
    return this.#broker !== undefined && !this.#closed.aborted;
  }

  /** Asks the broker until it says yes. */
  begin(): void {
    this.#broker = this.#persist();
  }

  /** Asks it once. @throws {Error} where it says no. */
  async beginOnce(): Promise<void> {
    const begun = this.#subscribe();
    this.#broker = begun.catch(() => undefined);
    await begun;
  }

  /** May be called again, with less patience. @param patienceMs for what the app is at work on. */
  async close(patienceMs: number): Promise<void> {
    this.#closed.abort(new Error("the subscription was closed"));
    const closed = this.#closeBroker(patienceMs);
    const timer = new CallAbort();
    // A broker that is away may never say whether it has begun; it is closed as soon as it does.
    const late = this.#parts.clock.sleep(patienceMs, timer).catch(() => undefined);
    await Promise.race([closed, late, this.#givenUp]);
    this.#giveUp();
    timer.abort(new Error("it is closed"));
  }

  async #closeBroker(patienceMs: number): Promise<void> {
    try {
      const broker = await this.#broker;
      await broker?.close(patienceMs);
    } catch (error) {
      this.#parts.log.warn(`a subscription did not end in order: ${messageOf(error)}`, this.#about);
    }
  }

  /** Asked anew: it may have happened while something was waited for. */
  #isClosed(): boolean {
    return this.#closed.aborted;
  }

  get #about(): Record<string, string> {
    const { component } = this.#parts;
    const { subscription, description } = this.active;
    return { component: component.name, topic: subscription.topic, subscription: description };
  }

  #subscribe(): Promise<BrokerSubscription> {
    const { component } = this.#parts;
    const { topic, metadata, bulk } = this.active.subscription;
    return component.broker.subscribe({
      topic,
      metadata,
      group: component.group,
      batch: bulk === undefined ? undefined : { maxEvents: bulk.maxMessages, maxWaitMs: bulk.maxAwaitMs },
      keyOf: this.#keyOf,
      handle: this.#deliverer.handle,
    });
  }

  async #persist(): Promise<BrokerSubscription | undefined> {
    const { clock, log } = this.#parts;
    for (let pauseMs = FIRST_PAUSE_MS; !this.#closed.aborted; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      try {
        return await this.#subscribe();
      } catch (error) {
        if (this.#isClosed()) break;
        log.error(`cannot subscribe: ${messageOf(error)}; it is tried again in ${pauseMs} ms`, this.#about);
      }
      await clock.sleep(pauseMs, this.#closed).catch(() => undefined);
    }
    return undefined;
  }
}
