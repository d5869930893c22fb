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
import { OutageLog, placeOf, RedisConnection } from "./connections.ts";
import { type RedisSettings, readRedisSettings } from "./settings.ts";
import { StreamBrowser } from "./stream-browser.ts";
import { fieldsOf } from "./stream-entry.ts";
import { StreamSubscription } from "./stream-subscription.ts";

interface Started {
  readonly settings: RedisSettings;
  readonly connection: RedisConnection;
  readonly outages: OutageLog;
}

/**
 * `pubsub.redis`: a topic is a stream, a group one of its consumer groups (components-contrib/pubsub/redis, with which it
 * shares both: sidecars of either kind publish and subscribe beside each other). Needs Redis 6.2.
 */
export class RedisPubSub implements PubSub {
  readonly features: ReadonlySet<PubSubFeature> = new Set(["BULK_PUBLISH"]);
  readonly browser: EventBrowser;
  readonly #context: PubSubContext;
  readonly #subscriptions = new Set<StreamSubscription>();
  /** There from the beginning of `init`. */
  #connection: RedisConnection | undefined;
  #started: Started | undefined;
  #isClosed = false;

  constructor(context: PubSubContext) {
    this.#context = context;
    this.browser = new StreamBrowser(() => this.#parts.connection);
  }

  async init(metadata: ComponentMetadata): Promise<void> {
    const { name, log, clock } = this.#context;
    const settings = readRedisSettings(metadata);
    const outages = new OutageLog({ component: name, place: placeOf(settings), log, clock });
    let isUp = false;
    const connection = new RedisConnection(settings, clock, (isReady, error) => {
      if (isUp) outages.changed(isReady, error);
    });
    this.#connection = connection;
    try {
      await connection.connect();
    } catch (error) {
      connection.close();
      throw new Error(whyNotConnected(settings, error), { cause: error });
    }
    isUp = true;
    this.#started = { settings, connection, outages };
  }

  async publish(event: OutgoingEvent): Promise<void> {
    await this.#parts.connection.sendAgain("xadd", this.#addition(event));
  }

  async publishBulk(topic: string, events: readonly OutgoingEvent[]): Promise<readonly BulkFailure[]> {
    if (events.length === 0) return [];
    const commands = events.map((event) => ["xadd", ...this.#addition({ ...event, topic })]);
    const errors = await this.#parts.connection.sendAll(commands);
    return errors.flatMap((error, index) => (error === undefined ? [] : [{ index, error: error.message }]));
  }

  async subscribe(options: SubscribeOptions): Promise<BrokerSubscription> {
    const { settings, connection, outages } = this.#parts;
    const { name: component, clock, log } = this.#context;
    let isUp = false;
    const reader = new RedisConnection(settings, clock, (isReady, error) => {
      // The other connection says when it is over.
      if (isUp && !isReady && !connection.isReady) outages.changed(false, error);
    });
    const subscription = new StreamSubscription(options, { component, settings, clock, log, connection, reader });
    this.#subscriptions.add(subscription);
    try {
      await subscription.start();
    } catch (error) {
      this.#subscriptions.delete(subscription);
      reader.close();
      throw error;
    }
    isUp = true;
    return {
      close: async (patienceMs) => {
        await subscription.close(patienceMs);
        this.#subscriptions.delete(subscription);
      },
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.close(0)));
    this.#subscriptions.clear();
    this.#connection?.close();
  }

  get #parts(): Started {
    if (this.#isClosed) throw new Error("the broker is closed");
    if (this.#started === undefined) throw new Error("the broker is not ready");
    return this.#started;
  }

  /** What XADD is told: the stream, how it is trimmed, and the entry. */
  #addition(event: OutgoingEvent): (string | number | Buffer)[] {
    const { maxLenApprox, streamTtlMs } = this.#parts.settings;
    return [event.topic, ...this.#trimming(maxLenApprox, streamTtlMs), "*", ...fieldsOf(event)];
  }

  /** XADD takes one of them; by length where both are asked for, as Dapr's component does. */
  #trimming(maxLen: number | undefined, ttlMs: number | undefined): (string | number)[] {
    if (maxLen !== undefined) return ["MAXLEN", "~", maxLen];
    if (ttlMs === undefined) return [];
    return ["MINID", "~", `${Math.max(0, this.#context.clock.now() - ttlMs)}-1`];
  }
}

function whyNotConnected(settings: RedisSettings, error: unknown): string {
  const said = error instanceof Error ? error.message : String(error);
  return `cannot connect to Redis at ${placeOf(settings)}: ${said}; ${adviceFor(said)}`;
}

function adviceFor(said: string): string {
  if (/WRONGPASS|invalid.*password|NOAUTH|no password|AUTH/i.test(said)) return "see redisUsername and redisPassword";
  if (said.includes("NOPERM")) return "give the user of redisUsername what docs/pubsub-redis.md lists";
  if (/certificate|self.signed|SSL|TLS|wrong version/i.test(said))
    return "see enableTLS, caCert, clientCert and clientKey";
  if (/ENOTFOUND|EAI_AGAIN/.test(said)) return "see redisHost: nobody knows that name";
  return "see that it runs and that redisHost is right";
}
