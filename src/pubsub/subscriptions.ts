import { CallAbort } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";
import { messageOf, OutriggerError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import type { Tracer } from "../core/tracer.ts";
import type { TopicSubscription } from "../resources/subscription-spec.ts";
import type { CloudEvent } from "./cloud-event.ts";
import { type EventExpressions, eventExpressionsFor } from "./event-expressions.ts";
import { descriptionOfStream } from "./event-log.ts";
import type { EventApp, EventReceiver, EventRules, PubSubComponent, PubSubObserver } from "./ports.ts";
import type { RuleTrial } from "./routing.ts";
import type { RunningSubscription } from "./running-subscription.ts";
import { isSame, wantedSubscriptions } from "./wanted-subscriptions.ts";

export interface SubscriptionsParts {
  readonly appId: string;
  readonly rules: EventRules;
  /** Undefined for a sidecar without an app: then there are streams alone. */
  readonly app: EventApp | undefined;
  readonly observer: PubSubObserver | undefined;
  readonly tracer: Tracer | undefined;
  readonly clock: Clock;
  /** Between 0 and 1. */
  readonly random: () => number;
  readonly log: Logger;
}

/** Where a subscription comes from, by daprd's names (A9). */
export type SubscriptionType = "DECLARATIVE" | "PROGRAMMATIC" | "STREAMING";

/** A subscription that is in force, or is as soon as the app takes events. */
export interface ActiveSubscription {
  readonly type: SubscriptionType;
  readonly subscription: TopicSubscription;
  /** For logs: `orders of pubsub (declarative, orders-subscription)`. */
  readonly description: string;
}

/** What would become of an event at one subscription. */
export interface SubscriptionTrial extends ActiveSubscription {
  readonly rules: readonly RuleTrial[];
  /** The path that gets it; undefined where none does. */
  readonly path: string | undefined;
  /** Why none gets it; undefined where one does. */
  readonly why: string | undefined;
}

export interface StreamingSubscription {
  /** No more events come. May be called twice. */
  close(): Promise<void>;
}

interface Running {
  readonly component: PubSubComponent;
  readonly subscription: RunningSubscription;
}

/** A client that takes its events over a stream. */
interface Stream {
  readonly active: ActiveSubscription;
  readonly receiver: EventReceiver;
  /** Undefined where its component is gone for now. */
  running: Running | undefined;
}

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
// What a subscription that changes leaves to the app for the events that it has.
const CHANGE_PATIENCE_MS = 10_000;
// How long subscriptions of resources wait for the app's own word, which goes before theirs.
const FIRST_WORD_PATIENCE_MS = 2000;

/**
 * All that one app is subscribed to, and what keeps it so: what its resources and the app itself say, and streams. Each
 * change of what it should be is followed by `follow`, one after the other.
 */
export class Subscriptions {
  readonly #parts: SubscriptionsParts;
  readonly #running = new Map<string, Running>();
  readonly #streams = new Set<Stream>();
  readonly #ended = new CallAbort();
  /** What the app has said; undefined until it was asked. */
  #asked: readonly TopicSubscription[] | undefined;
  #isAsking = false;
  /** Resolves once the app has answered for the first time, or could not; undefined until it is asked. */
  #firstWord: Promise<void> | undefined;
  #hasHeard = false;
  /** Whether the app takes events now. */
  #isAppOpen = false;
  #patienceMs = CHANGE_PATIENCE_MS;
  readonly #closing = new Map<RunningSubscription, Promise<void>>();
  #following: Promise<void> = Promise.resolve();
  /** What has been said about subscriptions that cannot be, so that it is not said at every change. */
  readonly #told = new Set<string>();
  /** Undefined until a subscription has CEL in it. */
  #expressions: EventExpressions | undefined;

  constructor(parts: SubscriptionsParts) {
    this.#parts = parts;
  }

  /** Of all types. Those of an app that takes no events now are among them, for they hold again once it does. */
  get active(): readonly ActiveSubscription[] {
    const streams = [...this.#streams].map(({ active }) => active);
    return [...[...this.#running.values()].map(({ subscription }) => subscription.active), ...streams];
  }

  /** The app takes events from now on. */
  open(): void {
    this.#isAppOpen = true;
    void this.follow();
  }

  /** It takes none until it is opened again. What would be handed to it from here on would only fail. */
  pause(): void {
    this.#isAppOpen = false;
    for (const running of this.#running.values()) void this.#close(running);
    void this.follow();
  }

  /** Resolves once what should run does so, or is being begun, and what should not has ended. */
  follow(): Promise<void> {
    this.#following = this.#following
      .then(() => this.#followOnce())
      .catch((error: unknown) => {
        this.#parts.log.error(`subscriptions could not follow a change: ${messageOf(error)}`);
      });
    return this.#following;
  }

  /** Ends all of it for good. May be called again, with less patience. @param patienceMs for the events that the app has. */
  async end(patienceMs: number): Promise<void> {
    this.#isAppOpen = false;
    this.#patienceMs = this.#ended.aborted ? Math.min(patienceMs, this.#patienceMs) : patienceMs;
    this.#ended.abort(new Error("the sidecar ends"));
    const streams = [...this.#streams];
    this.#streams.clear();
    // What a change, or an end with more patience, is waiting for.
    const closing = [...this.#closing.keys()].map((subscription) => subscription.close(patienceMs));
    await Promise.all([this.follow(), ...closing, ...streams.map((stream) => this.#endStream(stream))]);
  }

  /** Which of them an event of this topic would match, and by which rule. Nothing is delivered. */
  async try(pubsub: string, topic: string, event: CloudEvent): Promise<readonly SubscriptionTrial[]> {
    const { trialOf } = await import("./subscription-trial.ts");
    const component = this.#parts.rules.pubsubs.get(pubsub);
    const isMeant = ({ subscription }: ActiveSubscription): boolean =>
      subscription.pubsub === pubsub && matchesTopic(subscription.topic, topic, component);
    return this.active.filter(isMeant).map((active) => trialOf(active, event, this.#expressions));
  }

  /**
   * Subscribes a client that takes its events over a stream, until the stream is closed.
   *
   * @throws {OutriggerError} pubsubNotFound; {Error} where the subscription cannot be.
   */
  async stream(subscription: TopicSubscription, receiver: EventReceiver): Promise<StreamingSubscription> {
    const { pubsub, topic } = subscription;
    const { rules } = this.#parts;
    const component = rules.pubsubs.get(pubsub);
    // daprd names no resource here (observed/, "SubscribeTopicEventsAlpha1: unknown pubsub").
    if (component === undefined) throw new OutriggerError("pubsubNotFound", `pubsub ${pubsub} is not found`);
    if (this.#hasEnded()) throw new Error("the sidecar ends");
    const why = this.#whyForbidden(component, topic);
    if (why !== undefined) throw new Error(why);
    this.#expressions ??= await eventExpressionsFor([subscription]);
    const active = { type: "STREAMING", subscription, description: descriptionOfStream(subscription) } as const;
    const stream: Stream = { active, receiver, running: await this.#make(active, component, receiver) };
    await stream.running?.subscription.beginOnce();
    this.#streams.add(stream);
    // Meanwhile all may have changed, and nobody knew of this stream.
    if (this.#hasEnded()) {
      await this.#endStream(stream);
      throw new Error("the sidecar ends");
    }
    if (rules.pubsubs.get(pubsub) !== component) await this.follow();
    return { close: () => this.#endStream(stream) };
  }

  #hasEnded(): boolean {
    return this.#ended.aborted;
  }

  async #followOnce(): Promise<void> {
    await Promise.all([this.#followApp(), ...[...this.#streams].map((stream) => this.#followStream(stream))]);
    await Promise.all(this.#closing.values());
  }

  async #followApp(): Promise<void> {
    const { app, rules } = this.#parts;
    if (app === undefined) return;
    this.#askWhereNeeded(app);
    await this.#hearFirstWord();
    const wanted = this.#ended.aborted
      ? new Map<string, ActiveSubscription>()
      : wantedSubscriptions(rules.subscriptions, this.#asked ?? []);
    this.#expressions ??= await eventExpressionsFor([...wanted.values()].map(({ subscription }) => subscription));
    const keys = new Set([...this.#running.keys(), ...wanted.keys()]);
    await Promise.all([...keys].map((key) => this.#followKey(key, wanted.get(key), app)));
  }

  async #followKey(key: string, active: ActiveSubscription | undefined, app: EventApp): Promise<void> {
    const before = this.#running.get(key);
    const component = active === undefined ? undefined : this.#componentFor(active);
    const isSameAsBefore =
      active !== undefined &&
      before !== undefined &&
      component === before.component &&
      isSame(active, before.subscription.active);
    if (isSameAsBefore && before.subscription.isOpen === this.#isAppOpen) return;
    const next = active === undefined || component === undefined ? undefined : await this.#make(active, component, app);
    // Until the app takes events, it is known and no more.
    if (next === undefined) this.#running.delete(key);
    else this.#running.set(key, next);
    if (before !== undefined) await this.#close(before);
    if (next === undefined || !this.#isAppOpen) return;
    next.subscription.begin();
    this.#parts.log.info(`subscribed: ${next.subscription.active.description}`);
  }

  async #followStream(stream: Stream): Promise<void> {
    const component = this.#parts.rules.pubsubs.get(stream.active.subscription.pubsub);
    if (stream.running?.component === component) return;
    const before = stream.running;
    stream.running = undefined;
    if (before !== undefined) await this.#close(before);
    if (component === undefined || !this.#streams.has(stream)) return;
    const running = await this.#make(stream.active, component, stream.receiver);
    if (!this.#streams.has(stream)) return;
    stream.running = running;
    running?.subscription.begin();
  }

  async #endStream(stream: Stream): Promise<void> {
    this.#streams.delete(stream);
    if (stream.running !== undefined) await this.#close(stream.running);
  }

  #close({ subscription }: Running): Promise<void> {
    const closing = this.#closing.get(subscription);
    if (closing !== undefined) return closing;
    const closed = subscription.close(this.#patienceMs).finally(() => this.#closing.delete(subscription));
    this.#closing.set(subscription, closed);
    return closed;
  }

  /** Undefined where it cannot be, which is told. */
  async #make(
    active: ActiveSubscription,
    component: PubSubComponent,
    receiver: EventReceiver,
  ): Promise<Running | undefined> {
    // Many an app subscribes to nothing.
    const { RunningSubscription } = await import("./running-subscription.ts");
    const { appId, rules, observer, tracer, clock, random, log } = this.#parts;
    const of = { appId, rules, expressions: this.#expressions, observer, tracer, clock, random, log };
    try {
      return { component, subscription: new RunningSubscription({ ...of, active, component, receiver }) };
    } catch (error) {
      if (active.type === "STREAMING") throw error;
      this.#tell(`subscription ${active.description} cannot be: ${messageOf(error)}`);
      return undefined;
    }
  }

  #componentFor({ subscription, description }: ActiveSubscription): PubSubComponent | undefined {
    const { pubsub, topic } = subscription;
    const component = this.#parts.rules.pubsubs.get(pubsub);
    if (component === undefined) {
      const known = [...this.#parts.rules.pubsubs.keys()];
      const there = known.length === 0 ? "there is none at all" : `there are: ${known.join(", ")}`;
      this.#tell(`subscription ${description}: there is no pub/sub component ${pubsub}; ${there}`);
      return undefined;
    }
    const why = this.#whyForbidden(component, topic);
    if (why !== undefined) {
      this.#tell(`subscription ${description}: ${why}`);
      return undefined;
    }
    if (topic.endsWith("*") && !hasWildcards(component)) {
      const what = `${component.type} knows no wildcards: it gets what is published to "${topic}" and to no other topic`;
      this.#tell(`subscription ${description}: ${what}`);
    }
    return component;
  }

  #whyForbidden({ name, scopes }: PubSubComponent, topic: string): string | undefined {
    if (scopes.maySubscribe(topic)) return undefined;
    return `subscription to topic '${topic}' on pubsub '${name}' is not allowed for app id ${this.#parts.appId}, by the component's scopes`;
  }

  #tell(what: string): void {
    if (this.#told.has(what)) return;
    this.#told.add(what);
    this.#parts.log.warn(what);
  }

  /** The app is asked once, and only where there is a component that it could name (A8). */
  #askWhereNeeded(app: EventApp): void {
    const isNeeded = this.#isAppOpen && this.#asked === undefined && this.#parts.rules.pubsubs.size > 0;
    if (!isNeeded || this.#isAsking) return;
    this.#isAsking = true;
    const isFirst = this.#firstWord === undefined;
    const word = new Promise<void>((heard) => void this.#ask(app, heard));
    if (isFirst) this.#firstWord = word;
  }

  async #ask(app: EventApp, heard: () => void): Promise<void> {
    const { clock, log } = this.#parts;
    for (let pauseMs = FIRST_PAUSE_MS; this.#isAppOpen; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      try {
        this.#asked = await app.subscriptions(this.#ended);
        break;
      } catch (error) {
        heard();
        if (this.#ended.aborted) break;
        log.warn(`the app could not be asked for its subscriptions: ${messageOf(error)}; it is asked again`);
        await clock.sleep(pauseMs, this.#ended).catch(() => undefined);
      }
    }
    heard();
    this.#isAsking = false;
    void this.follow();
  }

  /** Else a resource would have events that the app has another route for. One that does not answer holds up nobody for long. */
  async #hearFirstWord(): Promise<void> {
    if (this.#firstWord === undefined || this.#hasHeard) return;
    this.#hasHeard = true;
    const timer = new CallAbort();
    const late = this.#parts.clock.sleep(FIRST_WORD_PATIENCE_MS, timer).catch(() => undefined);
    await Promise.race([this.#firstWord, late]);
    timer.abort(new Error("the app has said its word"));
  }
}

/** Brokers with wildcards know more patterns than this; the one that all have is a `*` at the end. */
function matchesTopic(subscribed: string, topic: string, component: PubSubComponent | undefined): boolean {
  const isPattern = subscribed.endsWith("*") && component !== undefined && hasWildcards(component);
  return isPattern ? topic.startsWith(subscribed.slice(0, -1)) : subscribed === topic;
}

function hasWildcards({ broker }: PubSubComponent): boolean {
  return broker.features.has("SUBSCRIBE_WILDCARDS");
}
