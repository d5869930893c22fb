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
import { InFlight } from "../../core/in-flight.ts";

/** A broker that another one may take the place of: it is closed once nothing is being published to it any more. */
export class ReplaceableBroker implements PubSub {
  readonly #broker: PubSub;
  readonly #publishing = new InFlight();

  constructor(broker: PubSub) {
    this.#broker = broker;
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

  /** Whatever is being published. */
  close(): Promise<void> {
    return this.#broker.close();
  }

  async closeWhenIdle(): Promise<void> {
    await this.#publishing.whenIdle();
    await this.close();
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
