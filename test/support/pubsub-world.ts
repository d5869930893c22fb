import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import type {
  BrokerSubscription,
  IncomingEvent,
  OutgoingEvent,
  PubSub,
  PubSubContext,
  SubscribeOptions,
  Verdict,
} from "../../src/components/contract/pubsub.ts";
import type { CallSignal } from "../../src/core/call-signal.ts";
import type { TestScope } from "./cleanup.ts";
import { metadataWith } from "./component-metadata.ts";
import { freshHome } from "./outrigger.ts";
import { pubSubContext } from "./pubsub-context.ts";

/** Brokers in tests, and what they hand out. */

// Bounds a hang; it never decides.
export const PATIENCE_MS = 30_000;

export interface BrokerFactory {
  create(context: PubSubContext): PubSub;
  /** What the brokers of one test have in common. Called once for each test; what it starts is ended with it. */
  world(t: TestScope): Promise<PubSubWorld>;
}

export interface PubSubWorld {
  /** Metadata with which the broker can be used. Events come back soon: what is tried again is so within a few seconds. */
  readonly fields: Readonly<Record<string, string>>;
  /** Where each test has its own without. */
  readonly home?: string;
}

/** One test's brokers. */
export class World {
  readonly fields: Readonly<Record<string, string>>;
  readonly #t: TestContext;
  readonly #factory: BrokerFactory;
  readonly #home: string;
  readonly #brokers: PubSub[] = [];

  private constructor(t: TestContext, factory: BrokerFactory, { fields, home }: PubSubWorld) {
    this.fields = fields;
    this.#t = t;
    this.#factory = factory;
    this.#home = home ?? freshHome(t);
  }

  static async of(t: TestContext, factory: BrokerFactory): Promise<World> {
    const cleanups: (() => unknown)[] = [];
    const world = new World(t, factory, await factory.world({ after: (cleanup) => cleanups.push(cleanup) }));
    // Brokers go before what they need.
    t.after(async () => {
      await Promise.all(world.#brokers.map((broker) => broker.close()));
      for (const cleanup of cleanups) await cleanup();
    });
    return world;
  }

  /** A broker that is not ready yet. */
  unready(): PubSub {
    return this.#factory.create(pubSubContext(this.#t, { home: this.#home }));
  }

  async broker(): Promise<PubSub> {
    const broker = this.unready();
    this.#brokers.push(broker);
    await broker.init(await metadataWith(this.fields));
    return broker;
  }

  async subscribe(broker: PubSub, options: SeenOptions): Promise<Seen> {
    const seen = new Seen(options);
    seen.subscription = await broker.subscribe(seen.options);
    return seen;
  }
}

type Answer = (event: IncomingEvent, signal: CallSignal) => Verdict | Promise<Verdict>;

export interface SeenOptions extends Partial<Pick<SubscribeOptions, "group" | "batch" | "keyOf">> {
  readonly topic: string;
  /** `done` where nobody says. */
  readonly answer?: Answer;
  /** In its place, for a whole batch. */
  readonly answerAll?: (events: readonly IncomingEvent[]) => Verdict[];
}

/** What a subscription was handed out. */
export class Seen {
  readonly events: IncomingEvent[] = [];
  readonly options: SubscribeOptions;
  subscription: BrokerSubscription = { close: () => Promise.resolve() };
  signalFired = false;
  readonly #watchers = new Set<() => void>();
  #failure: Error | undefined;

  constructor({ topic, group = "shop", batch, keyOf, answer = () => "done", answerAll }: SeenOptions) {
    const handle = async (events: readonly IncomingEvent[], signal: CallSignal): Promise<readonly Verdict[]> => {
      signal.addEventListener("abort", {
        handleEvent: () => {
          this.signalFired = true;
        },
      });
      try {
        assert.ok(events.length > 0 && (batch !== undefined || events.length === 1));
        this.events.push(...events);
        if (answerAll !== undefined) return answerAll(events);
        return await Promise.all(events.map(async (one) => answer(one, signal)));
      } catch (error) {
        this.#failure = error instanceof Error ? error : new Error(String(error));
        return events.map(() => "done");
      } finally {
        for (const watcher of this.#watchers) watcher();
      }
    };
    this.options = { topic, group, metadata: new Map(), batch, keyOf, handle };
  }

  get distinct(): Map<string, IncomingEvent> {
    return new Map(this.events.map((one) => [`${one.topic} ${one.id}`, one]));
  }

  of(text: string): IncomingEvent[] {
    return this.events.filter((one) => textOf(one) === text);
  }

  /** Waits until each of these has come, in any order and however often, and nothing else has. */
  async texts(what: string, texts: readonly string[]): Promise<void> {
    const expected = new Set(texts);
    const seen = (): Set<string> => new Set(this.events.map(textOf));
    await this.until(what, () => seen().size >= expected.size);
    assert.deepEqual([...seen()].sort(), [...expected].sort());
  }

  async until(what: string, isTrue: () => boolean): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    let watcher = (): void => undefined;
    const seen = new Promise<void>((resolve, reject) => {
      watcher = () => {
        if (this.#failure !== undefined) reject(this.#failure);
        else if (isTrue()) resolve();
      };
      const giveUp = (): void => {
        reject(new Error(`gave up waiting for ${what}; ${this.events.length} came: ${this.events.map(brief).join()}`));
      };
      timer = setTimeout(giveUp, PATIENCE_MS);
    });
    this.#watchers.add(watcher);
    // Of two subscriptions that share, the other's events count too.
    const poll = setInterval(watcher, 20);
    try {
      watcher();
      await seen;
    } finally {
      clearTimeout(timer);
      clearInterval(poll);
      this.#watchers.delete(watcher);
    }
  }
}

/** Opened once, by whoever has seen enough. */
export class Gate {
  open: () => void = () => undefined;
  readonly opened = new Promise<void>((resolve) => {
    this.open = resolve;
  });
}

/** Without content type and metadata. */
export function anEvent(topic: string, text: string): OutgoingEvent {
  return { topic, data: Buffer.from(text), contentType: undefined, metadata: new Map() };
}

export function textOf({ data }: IncomingEvent): string {
  return Buffer.from(data).toString();
}

function brief(one: IncomingEvent): string {
  return textOf(one).slice(0, 20);
}

/** The letter that its text begins with; none for those that begin with a hyphen. */
export function keyOf(one: IncomingEvent): string | undefined {
  const [letter] = textOf(one);
  return letter === "-" ? undefined : letter;
}
