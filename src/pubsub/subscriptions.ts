import { CallAbort } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";
import { messageOf, OutriggerError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import type { Tracer } from "../core/tracer.ts";
import type { TopicSubscription } from "../resources/subscription-spec.ts";
import type { CloudEvent } from "./cloud-event.ts";
import { type EventExpressions, eventExpressionsFor } from "./event-expressions.ts";
import type { EventApp, EventReceiver, EventRules, PubSubComponent, PubSubObserver } from "./ports.ts";
import { Routes, type RuleTrial } from "./routing.ts";
import { RunningSubscription } from "./running-subscription.ts";
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

/** A subscription that is in force. */
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
  /** Whether the app takes events now. */
  #isAppOpen = false;
  #patienceMs = CHANGE_PATIENCE_MS;
  #following: Promise<void> = Promise.resolve();
  /** What has been said about subscriptions that cannot be, so that it is not said at every change. */
  readonly #told = new Set<string>();
  /** Undefined until a subscription has CEL in it. */
  #expressions: EventExpressions | undefined;

  constructor(parts: SubscriptionsParts) {
    this.#parts = parts;
  }

  /** Of all types, by pubsub and topic. */
  get active(): readonly ActiveSubscription[] {
    const streams = [...this.#streams].map(({ active }) => active);
    return [...[...this.#running.values()].map(({ subscription }) => subscription.active), ...streams];
  }

  /** The app takes events from now on. */
  open(): void {
    this.#isAppOpen = true;
    void this.follow();
  }

  /** It takes none until it is opened again. */
  pause(): void {
    this.#isAppOpen = false;
    void this.follow();
  }

  /** Resolves once what should run does so, or is being begun, and what should not has ended. */
  follow(): Promise<void> {
    this.#following = this.#following.then(() => this.#followOnce());
    return this.#following;
  }

  /** Ends all of it for good. @param patienceMs for the events that the app has. */
  async end(patienceMs: number): Promise<void> {
    this.#isAppOpen = false;
    this.#patienceMs = Math.min(patienceMs, this.#patienceMs);
    this.#ended.abort(new Error("the sidecar ends"));
    const streams = [...this.#streams];
    this.#streams.clear();
    await Promise.all([this.follow(), ...streams.map((stream) => this.#endStream(stream))]);
  }

  /** Which of them an event of this topic would match, and by which rule. Nothing is delivered. */
  try(pubsub: string, topic: string, event: CloudEvent): readonly SubscriptionTrial[] {
    const isMeant = ({ subscription }: ActiveSubscription): boolean =>
      subscription.pubsub === pubsub && matchesTopic(subscription.topic, topic);
    return this.active.filter(isMeant).map((active) => trialOf(active, event, this.#expressions));
  }

  /**
   * Subscribes a client that takes its events over a stream, until the stream is closed.
   *
   * @throws {OutriggerError} pubsubNotFound; {Error} where the subscription cannot be.
   */
  async stream(subscription: TopicSubscription, receiver: EventReceiver): Promise<StreamingSubscription> {
    const { pubsub, topic } = subscription;
    const component = this.#parts.rules.pubsubs.get(pubsub);
    // daprd names no resource here (observed/, "SubscribeTopicEventsAlpha1: unknown pubsub").
    if (component === undefined) throw new OutriggerError("pubsubNotFound", `pubsub ${pubsub} is not found`);
    if (this.#ended.aborted) throw new Error("the sidecar ends");
    const why = this.#whyForbidden(component, topic);
    if (why !== undefined) throw new Error(why);
    this.#expressions ??= await eventExpressionsFor([subscription]);
    const active = { type: "STREAMING", subscription, description: `${topic} of ${pubsub} (streaming)` } as const;
    const stream: Stream = { active, receiver, running: this.#make(active, component, receiver) };
    await stream.running?.subscription.beginOnce();
    this.#streams.add(stream);
    return { close: () => this.#endStream(stream) };
  }

  async #followOnce(): Promise<void> {
    const { rules } = this.#parts;
    this.#askWhereNeeded();
    const wanted = this.#isAppOpen
      ? wantedSubscriptions(rules.subscriptions, this.#asked ?? [])
      : new Map<string, ActiveSubscription>();
    this.#expressions ??= await eventExpressionsFor([...wanted.values()].map(({ subscription }) => subscription));
    const keys = new Set([...this.#running.keys(), ...wanted.keys()]);
    await Promise.all([...keys].map((key) => this.#followKey(key, wanted.get(key))));
    await Promise.all([...this.#streams].map((stream) => this.#followStream(stream)));
  }

  async #followKey(key: string, active: ActiveSubscription | undefined): Promise<void> {
    const running = this.#running.get(key);
    const component = active === undefined ? undefined : this.#componentFor(active);
    if (running !== undefined) {
      const { subscription } = running;
      const stays = active !== undefined && component === running.component && isSame(active, subscription.active);
      if (stays) return;
      this.#running.delete(key);
      await subscription.close(this.#patienceMs);
    }
    const { app } = this.#parts;
    if (active === undefined || component === undefined || app === undefined || this.#ended.aborted) return;
    const begun = this.#make(active, component, app);
    if (begun === undefined) return;
    this.#running.set(key, begun);
    begun.subscription.begin();
    this.#parts.log.info(`subscribed: ${active.description}`);
  }

  async #followStream(stream: Stream): Promise<void> {
    const component = this.#parts.rules.pubsubs.get(stream.active.subscription.pubsub);
    if (stream.running?.component === component) return;
    const before = stream.running;
    stream.running = undefined;
    await before?.subscription.close(this.#patienceMs);
    if (component === undefined || !this.#streams.has(stream)) return;
    stream.running = this.#make(stream.active, component, stream.receiver);
    stream.running?.subscription.begin();
  }

  async #endStream(stream: Stream): Promise<void> {
    this.#streams.delete(stream);
    await stream.running?.subscription.close(this.#patienceMs);
  }

  /** Undefined where it cannot be, which is told. */
  #make(active: ActiveSubscription, component: PubSubComponent, receiver: EventReceiver): Running | undefined {
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
      const known = [...this.#parts.rules.pubsubs.keys()].join(", ");
      this.#tell(`subscription ${description}: there is no pub/sub component ${pubsub}; there are: ${known}`);
      return undefined;
    }
    const why = this.#whyForbidden(component, topic);
    if (why === undefined) return component;
    this.#tell(`subscription ${description}: ${why}`);
    return undefined;
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
  #askWhereNeeded(): void {
    const { app, rules } = this.#parts;
    const isNeeded = this.#isAppOpen && this.#asked === undefined && rules.pubsubs.size > 0;
    if (app === undefined || !isNeeded || this.#isAsking) return;
    this.#isAsking = true;
    void this.#ask(app);
  }

  async #ask(app: EventApp): Promise<void> {
    const { clock, log } = this.#parts;
    for (let pauseMs = FIRST_PAUSE_MS; this.#isAppOpen; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      try {
        this.#asked = await app.subscriptions(this.#ended);
        break;
      } catch (error) {
        if (this.#ended.aborted) break;
        log.warn(`the app could not be asked for its subscriptions: ${messageOf(error)}; it is asked again`);
        await clock.sleep(pauseMs, this.#ended).catch(() => undefined);
      }
    }
    this.#isAsking = false;
    if (this.#asked !== undefined) void this.follow();
  }
}

function trialOf(
  active: ActiveSubscription,
  event: CloudEvent,
  expressions: EventExpressions | undefined,
): SubscriptionTrial {
  const routes = new Routes(active.subscription, expressions);
  const rules = routes.tryAll(event);
  const route = routes.routeOf(event);
  if (route.kind === "path") return { ...active, rules, path: route.path, why: undefined };
  const why = route.kind === "none" ? "no rule matches, and there is no default route" : route.why;
  return { ...active, rules, path: undefined, why };
}

/** Brokers with wildcards know more patterns than this; the one that all have is a `*` at the end. */
function matchesTopic(subscribed: string, topic: string): boolean {
  return subscribed.endsWith("*") ? topic.startsWith(subscribed.slice(0, -1)) : subscribed === topic;
}
