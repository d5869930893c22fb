import type { BulkFailure, OutgoingEvent, PubSub, PubSubFeature } from "../../src/components/contract/pubsub.ts";
import type { PubSubComponent } from "../../src/pubsub/ports.ts";
import type { TopicScopes } from "../../src/pubsub/scopes.ts";

/** A broker that takes what is published and hands out nothing. */
export class RememberingBroker implements PubSub {
  readonly features: ReadonlySet<PubSubFeature>;
  readonly taken: OutgoingEvent[] = [];
  /** Asked before each event is taken; what it throws, or rejects with, is why the event is not. */
  before: (event: OutgoingEvent) => void | Promise<void> = () => undefined;

  constructor(features: readonly PubSubFeature[] = []) {
    this.features = new Set(features);
  }

  init(): Promise<void> {
    return Promise.resolve();
  }

  async publish(event: OutgoingEvent): Promise<void> {
    await this.before(event);
    this.taken.push(event);
  }

  async publishBulk(_topic: string, events: readonly OutgoingEvent[]): Promise<readonly BulkFailure[]> {
    const failures: BulkFailure[] = [];
    for (const [index, event] of events.entries()) {
      try {
        await this.publish(event);
      } catch (error) {
        failures.push({ index, error: (error as Error).message });
      }
    }
    return failures;
  }

  subscribe(): Promise<never> {
    return Promise.reject(new Error("it hands out nothing"));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

const EVERYTHING: TopicScopes = { mayPublish: () => true, maySubscribe: () => true };

export function componentOf(name: string, broker: PubSub, scopes = EVERYTHING): PubSubComponent {
  return { name, type: "pubsub.test", broker, group: "g", scopes };
}
