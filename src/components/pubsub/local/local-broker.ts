import { accessSync, constants, existsSync, statSync } from "node:fs";
import { messageOf } from "../../../core/errors.ts";
import type { ComponentMetadata } from "../../contract/component-metadata.ts";
import type {
  BrokerSubscription,
  BulkFailure,
  EventBrowser,
  OutgoingEvent,
  PubSub,
  PubSubContext,
  PubSubFeature,
  SubscribeOptions,
} from "../../contract/pubsub.ts";
import type { Borrowed } from "../../contract/shared-parts.ts";
import type { Consumer } from "./consumer.ts";
import { type LocalSettings, readLocalSettings } from "./local-settings.ts";
import type { LocalStore } from "./local-store.ts";
import { explained } from "./store-error.ts";
import { StoreFolder, storePath } from "./store-folder.ts";

/**
 * `pubsub.local`: a durable broker that needs no server. Its store is opened with the first event or subscription; `init` looks no
 * further than whether it could be.
 */
export class LocalBroker implements PubSub {
  readonly features: ReadonlySet<PubSubFeature> = new Set<PubSubFeature>(["BULK_PUBLISH"]);
  readonly browser: EventBrowser = {
    list: async (topic, limit, after) => (await this.#opened()).list(topic, limit, after),
    get: async (topic, id) => (await this.#opened()).get(topic, id),
    remove: async (topic, id) => (await this.#opened()).remove(topic, id),
  };
  readonly #context: PubSubContext;
  readonly #consumers = new Set<Consumer>();
  #settings: LocalSettings | undefined;
  #store: Promise<Borrowed<LocalStore>> | undefined;
  /** Ends the wait for a store that is not open yet. */
  #giveUp: ((why: Error) => void) | undefined;
  #isClosed = false;

  constructor(context: PubSubContext) {
    this.#context = context;
  }

  async init(metadata: ComponentMetadata): Promise<void> {
    this.#settings = readLocalSettings(metadata);
    const path = storePath(this.#context.home, this.#context.name);
    await Promise.resolve();
    if (!existsSync(path)) return;
    try {
      if (!statSync(path).isDirectory()) throw new Error("it is not a directory");
      accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
    } catch (error) {
      throw explained(error, `cannot use the store of pubsub.local at ${path}`, path);
    }
  }

  async publish(event: OutgoingEvent): Promise<void> {
    await (await this.#opened()).publish(event);
  }

  async publishBulk(_: string, events: readonly OutgoingEvent[]): Promise<readonly BulkFailure[]> {
    if (events.length === 0) return [];
    const store = await this.#opened();
    const results = await Promise.allSettled(events.map((event) => store.publish(event)));
    return results.flatMap((result, index) =>
      result.status === "rejected" ? [{ index, error: (result.reason as Error).message }] : [],
    );
  }

  async subscribe(options: SubscribeOptions): Promise<BrokerSubscription> {
    const store = await this.#opened();
    const consumer = await store.subscribe(options, this.#ready());
    if (this.#isClosed) {
      await store.unsubscribe(consumer, 0);
      throw closed();
    }
    this.#consumers.add(consumer);
    let closing: Promise<void> | undefined;
    return {
      close: (patienceMs) => {
        this.#consumers.delete(consumer);
        closing ??= store.unsubscribe(consumer, patienceMs);
        return closing;
      },
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    // It may be looked through for long yet, or be open elsewhere: nobody waits for that.
    this.#giveUp?.(closed());
    const borrowed = await this.#store?.catch(() => undefined);
    if (borrowed === undefined) return;
    for (const consumer of this.#consumers) await borrowed.part.unsubscribe(consumer, 0);
    this.#consumers.clear();
    await borrowed.giveBack();
  }

  async #opened(): Promise<LocalStore> {
    if (this.#isClosed) throw closed();
    this.#store ??= this.#open(this.#ready());
    return (await this.#store).part;
  }

  #open(settings: LocalSettings): Promise<Borrowed<LocalStore>> {
    return new Promise((resolve, reject) => {
      this.#giveUp = reject;
      this.#borrow().then(
        (borrowed) => {
          if (this.#isClosed) void borrowed.giveBack().catch(() => undefined);
          else borrowed.part.keep(settings);
          resolve(borrowed);
        },
        (error: unknown) => {
          // The next one tries again: there may be room on the disk by then.
          this.#store = undefined;
          reject(error instanceof Error ? error : new Error(messageOf(error)));
        },
      );
    });
  }

  #borrow(): Promise<Borrowed<LocalStore>> {
    const { home, name, shared, processes, clock, log } = this.#context;
    const path = storePath(home, name);
    return shared.borrow(`pubsub.local ${path}`, async () => {
      const { LocalStore } = await import("./local-store.ts");
      return LocalStore.open({ folder: new StoreFolder(path, processes, clock), processes, clock, log });
    });
  }

  #ready(): LocalSettings {
    if (this.#settings === undefined) throw new Error("pubsub.local is not initialized");
    return this.#settings;
  }
}

function closed(): Error {
  return new Error("pubsub.local is closed");
}
