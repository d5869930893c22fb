import { messageOf } from "../../../core/errors.ts";
import type { ComponentMetadata } from "../../contract/component-metadata.ts";
import type {
  BrokerSubscription,
  BulkFailure,
  IncomingEvent,
  OutgoingEvent,
  PubSub,
  PubSubContext,
  PubSubFeature,
  SubscribeOptions,
} from "../../contract/pubsub.ts";
import { type QueueLimits, QueueRoom } from "./queue-room.ts";
import { SubscriberGroup } from "./subscriber-group.ts";

// A publisher that waits for room may itself be what a subscriber waits for: the wait must end.
const LIMITS: QueueLimits = { events: 10_000, bytes: 64 * 1024 * 1024, patienceMs: 30_000 };

export type InMemoryParts = Pick<PubSubContext, "name" | "clock" | "log">;

/**
 * `pubsub.in-memory`: events of one Sidecar, for those of its subscriptions that are there when they are published
 * (components-contrib/pubsub/in-memory). Nothing outlives the process, nothing is seen by another.
 */
export class InMemoryPubSub implements PubSub {
  readonly features: ReadonlySet<PubSubFeature> = new Set(["SUBSCRIBE_WILDCARDS"]);
  readonly #parts: InMemoryParts;
  readonly #room: QueueRoom;
  /** By topic, or pattern, and group. */
  readonly #groups = new Map<string, SubscriberGroup>();
  readonly #subscriptions = new Set<BrokerSubscription>();
  #published = 0;
  #isClosed = false;

  constructor(parts: InMemoryParts, limits = LIMITS) {
    this.#parts = parts;
    this.#room = new QueueRoom(limits, parts.clock);
  }

  init(metadata: ComponentMetadata): Promise<void> {
    metadata.refuseUnknown([]);
    return Promise.resolve();
  }

  async publish(event: OutgoingEvent): Promise<void> {
    if (this.#isClosed) throw new Error("the broker is closed");
    const groups = [...this.#groups.values()].filter((group) => group.isFor(event.topic));
    if (groups.length === 0) return;
    await this.#room.take(groups.length, groups.length * event.data.byteLength);
    this.#published += 1;
    const { topic, contentType, metadata } = event;
    const id = String(this.#published);
    for (const group of groups) {
      const incoming = { id, topic, data: event.data, contentType, metadata, attempt: 1 };
      if (group.isEmpty) this.#giveBack(incoming);
      else group.offer(incoming);
    }
  }

  async publishBulk(_topic: string, events: readonly OutgoingEvent[]): Promise<readonly BulkFailure[]> {
    const failures: BulkFailure[] = [];
    for (const [index, event] of events.entries()) {
      try {
        await this.publish(event);
      } catch (error) {
        // Those behind it would only wait as long.
        for (let rest = index; rest < events.length; rest++) failures.push({ index: rest, error: messageOf(error) });
        break;
      }
    }
    return failures;
  }

  subscribe(options: SubscribeOptions): Promise<BrokerSubscription> {
    if (this.#isClosed) return Promise.reject(new Error("the broker is closed"));
    const key = JSON.stringify([options.topic, options.group]);
    const group = this.#groups.get(key) ?? this.#newGroup(options.topic);
    this.#groups.set(key, group);
    const subscription = group.join(options, () => {
      this.#subscriptions.delete(subscription);
      if (group.isEmpty && this.#groups.get(key) === group) this.#groups.delete(key);
    });
    this.#subscriptions.add(subscription);
    return Promise.resolve(subscription);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#room.close();
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.close(0)));
  }

  #newGroup(topic: string): SubscriberGroup {
    const { name: component, clock, log } = this.#parts;
    const onDone = (event: IncomingEvent): void => {
      this.#giveBack(event);
    };
    return new SubscriberGroup(topic, { component, clock, log, onDone });
  }

  #giveBack({ data }: IncomingEvent): void {
    this.#room.giveBack(1, data.byteLength);
  }
}
