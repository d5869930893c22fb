import type { EventBrowser, PubSub, StoredEvent } from "../../src/components/contract/pubsub.ts";
import type { Republisher } from "../../src/pubsub/dead-letter-queue.ts";
import type { PubSubComponent } from "../../src/pubsub/ports.ts";
import type { PublishedEvent, PublishTarget } from "../../src/pubsub/publisher.ts";
import type { ActiveSubscription } from "../../src/pubsub/subscriptions.ts";

/** What dead letters lie in, for tests that need no broker. */

/** Topics that can be looked at, and nothing else. */
export class BrowsedTopics implements EventBrowser {
  readonly topics = new Map<string, StoredEvent[]>();
  /** Thrown at whoever removes. */
  removalFails: Error | undefined;
  /** How many events were given at once, for each time that a list was asked for. */
  readonly pages: number[] = [];

  add(topic: string, id: string, data: unknown, more: Partial<StoredEvent> = {}): void {
    const bytes = Buffer.from(typeof data === "string" ? data : JSON.stringify(data));
    const stored = { id, publishedAtMs: 0, data: bytes, contentType: undefined, metadata: new Map(), ...more };
    this.topics.set(topic, [...this.#in(topic), stored]);
  }

  ids(topic: string): string[] {
    return this.#in(topic).map(({ id }) => id);
  }

  list(topic: string, limit: number, after: string | undefined): Promise<readonly StoredEvent[]> {
    const events = this.#in(topic);
    const from = after === undefined ? 0 : events.findIndex(({ id }) => id === after) + 1;
    const page = events.slice(from, from + limit);
    this.pages.push(page.length);
    return Promise.resolve(page);
  }

  get(topic: string, id: string): Promise<StoredEvent | undefined> {
    return Promise.resolve(this.#in(topic).find((event) => event.id === id));
  }

  remove(topic: string, id: string): Promise<boolean> {
    if (this.removalFails !== undefined) return Promise.reject(this.removalFails);
    const left = this.#in(topic).filter((event) => event.id !== id);
    const isThere = left.length < this.#in(topic).length;
    this.topics.set(topic, left);
    return Promise.resolve(isThere);
  }

  #in(topic: string): StoredEvent[] {
    return this.topics.get(topic) ?? [];
  }
}

/** @param browser undefined for a broker that shows nothing. @param closed topics that the app may not subscribe to. */
export function componentWith(
  name: string,
  browser: EventBrowser | undefined,
  closed: readonly string[] = [],
): PubSubComponent {
  const unused = (): Promise<never> => Promise.reject(new Error("not for this test"));
  const broker: PubSub = {
    features: new Set(),
    ...(browser === undefined ? {} : { browser }),
    ...{ init: unused, publish: unused, publishBulk: unused, subscribe: unused, close: unused },
  };
  const scopes = { mayPublish: () => true, maySubscribe: (topic: string) => !closed.includes(topic) };
  return { name, type: browser === undefined ? "pubsub.in-memory" : "pubsub.local", broker, group: "shop", scopes };
}

export function subscriptionTo(topic: string, deadLetterTopic?: string, pubsub = "pubsub"): ActiveSubscription {
  const subscription = {
    ...{ pubsub, topic, deadLetterTopic, metadata: new Map(), rules: [], defaultPath: `/${topic}`, bulk: undefined },
  };
  return { type: "DECLARATIVE", subscription, description: `${topic} of ${pubsub} (declarative, ${topic})` };
}

/** Keeps what is published. */
export class PublishedAgain implements Republisher {
  readonly events: { readonly target: PublishTarget; readonly event: PublishedEvent }[] = [];
  /** Thrown at whoever publishes. */
  fails: Error | undefined;

  publishAsIs(target: PublishTarget, event: PublishedEvent): Promise<void> {
    if (this.fails !== undefined) return Promise.reject(this.fails);
    this.events.push({ target, event });
    return Promise.resolve();
  }
}
