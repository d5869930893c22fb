import type { AppIdentity } from "../../core/app-id.ts";
import type { CallSignal } from "../../core/call-signal.ts";
import type { Clock } from "../../core/clock.ts";
import type { Logger } from "../../core/logger.ts";
import type { ComponentMetadata } from "./component-metadata.ts";
import type { Processes } from "./processes.ts";
import type { SharedParts } from "./shared-parts.ts";

/**
 * A broker. It carries bytes and hands them out at least once; what stands in them (CloudEvents, routes, dead letters) is the
 * business of `pubsub/`, which calls it.
 *
 * Creating one does nothing; `init` may fail; `close` may be called twice and after a failed `init`.
 */
export interface PubSub {
  /** As `/v1.0/metadata` shows them among the component's capabilities. */
  readonly features: ReadonlySet<PubSubFeature>;
  /** Absent where what the broker holds cannot be looked at. */
  readonly browser?: EventBrowser | undefined;
  /** Called once. @throws {Error} in words for the log, where the broker cannot be used: what is wrong with it, and what to do. */
  init(metadata: ComponentMetadata): Promise<void>;
  /**
   * Resolves once the broker has taken the event as safely as it ever will: from then on it is not lost.
   *
   * @throws {Error} in words for the publisher. The event may have been taken all the same.
   */
  publish(event: OutgoingEvent): Promise<void>;
  /**
   * All of one topic, in their order.
   *
   * @returns those that were not taken, by their place in `events`; empty where all were.
   */
  publishBulk(topic: string, events: readonly OutgoingEvent[]): Promise<readonly BulkFailure[]>;
  /**
   * Hands out events from now on, until it is closed. A connection that is lost is made again; nobody is told but the log.
   *
   * @throws {Error} where it cannot begin. Whoever asked may ask again.
   */
  subscribe(options: SubscribeOptions): Promise<BrokerSubscription>;
  /** Subscriptions that still run are closed. */
  close(): Promise<void>;
}

/**
 * `MESSAGE_TTL`: the broker itself forgets events after the `ttlInSeconds` of their metadata; without it, the envelope says when
 * it expires. `SUBSCRIBE_WILDCARDS`: a topic that is subscribed to may be a pattern of the broker's. `BULK_PUBLISH`: many events
 * cost less than each by itself.
 */
export type PubSubFeature = "MESSAGE_TTL" | "SUBSCRIBE_WILDCARDS" | "BULK_PUBLISH";

/** An event on its way to the broker. */
export interface OutgoingEvent {
  readonly topic: string;
  readonly data: Uint8Array;
  /** Of `data`; undefined where nobody said. */
  readonly contentType: string | undefined;
  /** What the publisher said beside the event. It comes out again with the event, at every subscriber. */
  readonly metadata: ReadonlyMap<string, string>;
}

export interface BulkFailure {
  readonly index: number;
  readonly error: string;
}

/** An event that the broker hands out. */
export interface IncomingEvent {
  /** The broker's, unique within the topic; for logs and {@link EventBrowser}. */
  readonly id: string;
  /** The one it was published to, also where the subscription's is a pattern. */
  readonly topic: string;
  readonly data: Uint8Array;
  readonly contentType: string | undefined;
  readonly metadata: ReadonlyMap<string, string>;
  /** How often it has been handed out to this group, this time included; undefined where the broker does not count. */
  readonly attempt: number | undefined;
}

/** `done`: never to be handed out to this group again. `again`: to be handed out again, after a pause of the broker's choice. */
export type Verdict = "done" | "again";

/**
 * Works on the events of one batch; without {@link SubscribeOptions.batch} there is one in it. Called for several batches at
 * once, as the broker's concurrency allows. Never rejects.
 *
 * @param signal fires when the subscription is being closed by force: the verdict does not matter any more.
 * @returns as many verdicts as there are events, in their order.
 */
export type EventHandler = (events: readonly IncomingEvent[], signal: CallSignal) => Promise<readonly Verdict[]>;

export interface SubscribeOptions {
  readonly topic: string;
  /** Who competes for the events: each is handed out to one member of each group. */
  readonly group: string;
  /** Of the subscription, for the broker to read what it knows. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Undefined: one event at a time in each call of the handler. */
  readonly batch: BatchLimits | undefined;
  /**
   * Of two events with the same key the later is handed out only once the earlier is done; events with different keys, or
   * with none (undefined), pass each other. Undefined: there are no keys. Never throws.
   */
  readonly keyOf: ((event: IncomingEvent) => string | undefined) | undefined;
  readonly handle: EventHandler;
}

export interface BatchLimits {
  readonly maxEvents: number;
  /** How long the first event of a batch waits for others, in milliseconds. */
  readonly maxWaitMs: number;
}

export interface BrokerSubscription {
  /**
   * No more events are handed out. Resolves once the handler is not at work any more, and what it said is known to the broker.
   * May be called twice.
   *
   * @param patienceMs after which the handler's signal fires and nothing more is waited for.
   */
  close(patienceMs: number): Promise<void>;
}

/** What a broker holds of a topic, for dead letters above all. */
export interface EventBrowser {
  /** The oldest first. @param after an id that was listed before; undefined for the beginning. */
  list(topic: string, limit: number, after: string | undefined): Promise<readonly StoredEvent[]>;
  /** Undefined where there is none with that id. */
  get(topic: string, id: string): Promise<StoredEvent | undefined>;
  /** @returns whether it was there. */
  remove(topic: string, id: string): Promise<boolean>;
}

export interface StoredEvent {
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly publishedAtMs: number;
  readonly data: Uint8Array;
  readonly contentType: string | undefined;
  readonly metadata: ReadonlyMap<string, string>;
}

export interface PubSubContext {
  /** Whose component it is. */
  readonly app: AppIdentity;
  /** `metadata.name` of the Component. */
  readonly name: string;
  /** Outrigger's home directory, an absolute path. What a component keeps on disk is in `pubsub/<name>` below it. */
  readonly home: string;
  readonly processes: Processes;
  /** For what a process can have only once, though several of its apps use it. */
  readonly shared: SharedParts;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What a folder under components/pubsub/ exports, checked there with `satisfies`. */
export interface PubSubManifest {
  /** As `spec.type` of a Component names it: `pubsub.redis`. */
  readonly type: string;
  create(context: PubSubContext): PubSub;
}

/** A broker that can be had: its type costs nothing, its module and what that imports are loaded when it is used. */
export interface PubSubEntry {
  readonly type: string;
  load(): Promise<PubSubManifest>;
}
