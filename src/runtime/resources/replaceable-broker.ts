import type { ComponentMetadata } from "../../components/contract/component-metadata.ts";
import type {
  BrokerSubscription,
  BulkFailure,
  EventBrowser,
  OutgoingEvent,
  PubSub,
  PubSubFeature,
  SubscribeOptions,
} from "../../components/contract/pubsub.ts";
import { CallAbort } from "../../core/call-signal.ts";
import type { Clock } from "../../core/clock.ts";
import { messageOf } from "../../core/errors.ts";
import { InFlight } from "../../core/in-flight.ts";
import type { Logger } from "../../core/logger.ts";

// How long one that is asked to close is waited for, and before that, what is being published to it.
const CLOSE_PATIENCE_MS = 5000;

export interface ReplaceableBrokerParts {
  readonly broker: PubSub;
  /** For the log: `Component pubsub (pubsub.redis) in pubsub.yaml`. */
  readonly description: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A broker that another one may take the place of: it is closed once nothing is being published to it any more. */
export class ReplaceableBroker implements PubSub {
  readonly #parts: ReplaceableBrokerParts;
  readonly #broker: PubSub;
  readonly #publishing = new InFlight();

  constructor(parts: ReplaceableBrokerParts) {
    this.#parts = parts;
    this.#broker = parts.broker;
  }

  get features(): ReadonlySet<PubSubFeature> {
    return this.#broker.features;
  }

  get browser(): EventBrowser | undefined {
    return this.#broker.browser;
  }

  init(metadata: ComponentMetadata): Promise<void> {
    return this.#broker.init(metadata);
  }

  publish(event: OutgoingEvent): Promise<void> {
    return this.#counted(() => this.#broker.publish(event));
  }

  publishBulk(topic: string, events: readonly OutgoingEvent[]): Promise<readonly BulkFailure[]> {
    return this.#counted(() => this.#broker.publishBulk(topic, events));
  }

  subscribe(options: SubscribeOptions): Promise<BrokerSubscription> {
    return this.#broker.subscribe(options);
  }

  /** Whatever is being published. Never rejects, and never takes long: neither an end nor a change may hang on a broker. */
  async close(): Promise<void> {
    const { description, log } = this.#parts;
    try {
      const isClosed = await this.#inTime(this.#broker.close());
      if (!isClosed)
        log.warn(`${description}: it has not closed in ${CLOSE_PATIENCE_MS / 1000} s, and is waited for no more`);
    } catch (error) {
      log.warn(`${description}: it did not close in order: ${messageOf(error)}`);
    }
  }

  /** The same, once nothing is being published to it any more. */
  async closeWhenIdle(): Promise<void> {
    await this.#inTime(this.#publishing.whenIdle());
    await this.close();
  }

  /** @returns whether it was done in time. */
  async #inTime(work: Promise<void>): Promise<boolean> {
    const timer = new CallAbort();
    const late = this.#parts.clock.sleep(CLOSE_PATIENCE_MS, timer).then(
      () => false,
      () => false,
    );
    const isDone = await Promise.race([work.then(() => true), late]).finally(() => {
      timer.abort(new Error("it is over"));
    });
    return isDone;
  }

  async #counted<T>(publish: () => Promise<T>): Promise<T> {
    this.#publishing.enter();
    try {
      return await publish();
    } finally {
      this.#publishing.leave();
    }
  }
}
