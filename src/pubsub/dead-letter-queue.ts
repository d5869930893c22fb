import type { EventBrowser } from "../components/contract/pubsub.ts";
import type { Clock } from "../core/clock.ts";
import { messageOf, OutriggerError } from "../core/errors.ts";
import type { EventRules, PubSubComponent } from "./ports.ts";
import type { PublishedEvent, PublishTarget } from "./publisher.ts";
import { StoredDeadLetter } from "./stored-dead-letter.ts";
import type { Subscriptions } from "./subscriptions.ts";

// Of what a broker gives at once, all is in memory with its data.
const PAGE = 50;
// Counting reads what it counts.
const MAX_COUNT = 1000;

/** The part of a publisher that sends dead letters on. */
export interface Republisher {
  /**
   * Publishes the bytes as they are, with this metadata and no other beside them.
   *
   * @throws {OutriggerError} what publishing throws: no such component, the scopes forbid the topic, the broker has failed.
   */
  publishAsIs(target: PublishTarget, event: PublishedEvent): Promise<void>;
}

export interface DeadLetterQueueParts {
  readonly rules: Pick<EventRules, "pubsubs">;
  readonly subscriptions: Pick<Subscriptions, "active">;
  readonly publisher: Republisher;
  readonly clock: Pick<Clock, "now">;
}

/** A topic that gets the dead letters of one subscription or several. */
export interface DeadLetterTopic {
  readonly pubsub: string;
  readonly topic: string;
  /** The topics whose dead letters it gets, as they were subscribed to. */
  readonly of: readonly string[];
  /** Undefined where they cannot be counted: then `error` says why. */
  readonly count: number | undefined;
  /** There are more than were counted. */
  readonly isMore: boolean;
  /** Milliseconds since the epoch; undefined where there is none. */
  readonly oldestAtMs: number | undefined;
  readonly error: string | undefined;
}

/** Where an event lies. */
export interface DeadLetterPlace {
  readonly pubsub: string;
  readonly topic: string;
  readonly id: string;
}

/** A place, where its event is to be published, and whose doing that is. */
export interface ReplayRequest extends DeadLetterPlace, Pick<PublishTarget, "trace" | "signal"> {
  /** Undefined for the topic that the event comes from. */
  readonly to: string | undefined;
}

/** What one app has been unable to take, where the broker lets it be looked at: seen, published again, removed. */
export class DeadLetterQueue {
  readonly #parts: DeadLetterQueueParts;

  constructor(parts: DeadLetterQueueParts) {
    this.#parts = parts;
  }

  /** Those of the app's active subscriptions, by component and name. */
  async topics(): Promise<readonly DeadLetterTopic[]> {
    const found = new Map<string, { pubsub: string; topic: string; of: string[] }>();
    for (const { subscription } of this.#parts.subscriptions.active) {
      const { pubsub, topic, deadLetterTopic } = subscription;
      if (deadLetterTopic === undefined) continue;
      const key = JSON.stringify([pubsub, deadLetterTopic]);
      const known = found.get(key) ?? { pubsub, topic: deadLetterTopic, of: [] };
      if (!known.of.includes(topic)) known.of.push(topic);
      found.set(key, known);
    }
    const counted: DeadLetterTopic[] = [];
    for (const [, place] of [...found].sort(([a], [b]) => (a < b ? -1 : 1))) {
      counted.push({ ...place, ...(await this.#count(place.pubsub, place.topic)) });
    }
    return counted;
  }

  /**
   * The oldest first.
   *
   * @param see given each, whose data nobody needs to keep.
   * @param after an id that was listed before.
   * @throws {OutriggerError} pubsubNotFound, brokerNotBrowsable, browsingFailed, notDeadLetters.
   */
  async list<Seen>(
    { pubsub, topic }: Pick<DeadLetterPlace, "pubsub" | "topic">,
    limit: number,
    after: string | undefined,
    see: (event: StoredDeadLetter) => Seen,
  ): Promise<{ readonly events: readonly Seen[]; readonly isMore: boolean }> {
    const browser = this.#open(pubsub, topic);
    const events: Seen[] = [];
    let last = after;
    for (;;) {
      // One more than is asked for tells whether there are more.
      const wanted = limit + 1 - events.length;
      const page = await browse(pubsub, topic, () => browser.list(topic, Math.min(PAGE, wanted), last));
      for (const stored of page) events.push(see(new StoredDeadLetter(stored)));
      last = page.at(-1)?.id;
      const isMore = events.length > limit;
      if (isMore || page.length === 0) return { events: events.slice(0, limit), isMore };
    }
  }

  /** @throws {OutriggerError} storedEventNotFound, and as {@link list}. */
  async get({ pubsub, topic, id }: DeadLetterPlace): Promise<StoredDeadLetter> {
    const browser = this.#open(pubsub, topic);
    const stored = await browse(pubsub, topic, () => browser.get(topic, id));
    if (stored === undefined) throw notFound(pubsub, topic, id);
    return new StoredDeadLetter(stored);
  }

  /**
   * Publishes the event to where it comes from, and then removes it: what is cut off in between leaves it twice, and never lost.
   *
   * @returns the topic it was published to.
   * @throws {OutriggerError} deadLetterRefused where that topic cannot be known, or is this one, or the event is no dead letter;
   *   all that publishing throws; and as {@link get}.
   */
  async replay(request: ReplayRequest): Promise<string> {
    const { pubsub, topic, id, trace, signal } = request;
    const event = await this.get(request);
    this.#mustBeDeadLetter(pubsub, topic, event);
    const to = request.to ?? event.originalTopic;
    if (to === undefined) {
      const what = `event ${id} of topic ${topic} does not say which topic it comes from (it is no CloudEvent)`;
      throw new OutriggerError("deadLetterRefused", `${what}; name the topic with ?to=`);
    }
    if (to === topic) {
      const what = `event ${id} would be published to ${topic}, where it is already`;
      throw new OutriggerError("deadLetterRefused", `${what}; name another topic with ?to=`);
    }
    const { contentType } = event.stored;
    const metadata = event.originalMetadata;
    const data = event.original(this.#parts.clock.now());
    await this.#parts.publisher.publishAsIs({ pubsub, topic: to, metadata, trace, signal }, { data, contentType });
    await this.#removeReplayed(request, to);
    return to;
  }

  /**
   * Removes the event for good.
   *
   * @throws {OutriggerError} deadLetterRefused where it is no dead letter; and as {@link get}.
   */
  async remove({ pubsub, topic, id }: DeadLetterPlace): Promise<void> {
    this.#mustBeDeadLetter(pubsub, topic, await this.get({ pubsub, topic, id }));
    const browser = this.#browserOf(pubsub);
    if (!(await browse(pubsub, topic, () => browser.remove(topic, id)))) throw notFound(pubsub, topic, id);
  }

  /** Somebody else may have removed it meanwhile, which is as well. */
  async #removeReplayed({ pubsub, topic, id }: DeadLetterPlace, to: string): Promise<void> {
    try {
      await this.#browserOf(pubsub).remove(topic, id);
    } catch (cause) {
      const what = `event ${id} has been published to ${to}, and could not be removed from ${topic}: ${messageOf(cause)}`;
      throw new OutriggerError(
        "browsingFailed",
        `${what}; replaying it again delivers it twice, so remove it instead`,
        {
          cause,
        },
      );
    }
  }

  async #count(
    pubsub: string,
    topic: string,
  ): Promise<Pick<DeadLetterTopic, "count" | "isMore" | "oldestAtMs" | "error">> {
    try {
      const place = { pubsub, topic };
      const { events, isMore } = await this.list(place, MAX_COUNT, undefined, ({ stored }) => stored.publishedAtMs);
      return { count: events.length, isMore, oldestAtMs: events[0], error: undefined };
    } catch (error) {
      if (!(error instanceof OutriggerError)) throw error;
      return { count: undefined, isMore: false, oldestAtMs: undefined, error: error.message };
    }
  }

  /** What subscriptions may not get, nobody reads here either: but an app's dead letters are events that it was given. */
  #open(pubsub: string, topic: string): EventBrowser {
    const browser = this.#browserOf(pubsub);
    if (this.#isDeadLetterTopic(pubsub, topic) || this.#component(pubsub).scopes.maySubscribe(topic)) return browser;
    const known = this.#parts.subscriptions.active.flatMap(({ subscription }) => subscription.deadLetterTopic ?? []);
    const has = known.length === 0 ? "there is none" : `there are: ${[...new Set(known)].join(", ")}`;
    const what = `topic ${topic} gets no dead letters of this app, and ${pubsub} does not let it read there`;
    throw new OutriggerError("notDeadLetters", `${what}; of its dead letter topics ${has}`);
  }

  /** Anything else may still be wanted by others. */
  #mustBeDeadLetter(pubsub: string, topic: string, { stored, originalTopic }: StoredDeadLetter): void {
    if (this.#isDeadLetterTopic(pubsub, topic) || (originalTopic !== undefined && originalTopic !== topic)) return;
    const what = `event ${stored.id} of topic ${topic} is no dead letter`;
    throw new OutriggerError("deadLetterRefused", `${what}: no subscription of this app has ${topic} for them`);
  }

  #isDeadLetterTopic(pubsub: string, topic: string): boolean {
    return this.#parts.subscriptions.active.some(
      ({ subscription }) => subscription.pubsub === pubsub && subscription.deadLetterTopic === topic,
    );
  }

  #browserOf(pubsub: string): EventBrowser {
    const { broker, type } = this.#component(pubsub);
    if (broker.browser !== undefined) return broker.browser;
    const what = `pubsub ${pubsub} is ${type}, which does not show what it holds`;
    throw new OutriggerError("brokerNotBrowsable", `${what}; subscribe to the dead letter topic to get its events`);
  }

  #component(pubsub: string): PubSubComponent {
    const component = this.#parts.rules.pubsubs.get(pubsub);
    if (component === undefined) throw new OutriggerError("pubsubNotFound", `pubsub ${pubsub} is not found`);
    return component;
  }
}

/** @throws {OutriggerError} browsingFailed, whatever the broker has thrown. */
async function browse<Found>(pubsub: string, topic: string, look: () => Promise<Found>): Promise<Found> {
  try {
    return await look();
  } catch (cause) {
    const what = `cannot look into topic ${topic} of pubsub ${pubsub}: ${messageOf(cause)}`;
    throw new OutriggerError("browsingFailed", what, { cause });
  }
}

function notFound(pubsub: string, topic: string, id: string): OutriggerError {
  const what = `topic ${topic} of pubsub ${pubsub} has no event ${id}`;
  return new OutriggerError(
    "storedEventNotFound",
    `${what}; it may have been replayed or removed, or its time there is over`,
  );
}
