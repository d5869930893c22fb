import type { EventHandler, IncomingEvent, Verdict } from "../components/contract/pubsub.ts";
import type { CallSignal } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import type { Tracer } from "../core/tracer.ts";
import type { TopicSubscription } from "../resources/subscription-spec.ts";
import { BulkAttempts, type BulkItem, groupsOf } from "./bulk-delivery.ts";
import type { CloudEvent } from "./cloud-event.ts";
import { DeadLetters } from "./dead-letter.ts";
import { DeliveryAttempts } from "./delivery-attempts.ts";
import type { EventExpressions } from "./event-expressions.ts";
import { aboutEvent } from "./event-log.ts";
import { type EventReader, eventReader } from "./event-reader.ts";
import { flagIn } from "./flag.ts";
import { type Attempted, expired, type Outcome, outcomeOf, unasked } from "./outcome.ts";
import type { EventReceiver, EventRules, ProcessStatus, PubSubComponent, PubSubObserver } from "./ports.ts";
import { isRawPayload } from "./raw-payload.ts";
import { Routes } from "./routing.ts";

export interface DelivererParts {
  readonly appId: string;
  readonly subscription: TopicSubscription;
  /** What the log calls the subscription: `orders (declarative, orders-subscription)`. */
  readonly description: string;
  readonly component: PubSubComponent;
  readonly receiver: EventReceiver;
  readonly rules: Pick<EventRules, "policies">;
  /** As `eventExpressionsFor` gives them. */
  readonly expressions?: EventExpressions | undefined;
  /** Whether the subscription is being closed: what fails then comes again. Absent: it never is. */
  readonly isClosing?: () => boolean;
  readonly observer: PubSubObserver | undefined;
  readonly tracer: Tracer | undefined;
  readonly clock: Clock;
  /** Between 0 and 1. */
  readonly random: () => number;
  readonly log: Logger;
}

/** An event that is to go to a route, or what else becomes of it. */
type Opened =
  | { readonly kind: "routed"; readonly event: CloudEvent; readonly path: string }
  | { readonly kind: "ended"; readonly event: CloudEvent | undefined; readonly outcome: Outcome };

/** What happens to the events of one subscription: expiry, route, delivery under policies, dead letters, verdict (A8). */
export class Deliverer {
  readonly #parts: DelivererParts;
  readonly #routes: Routes;
  readonly #read: EventReader;
  readonly #isRaw: boolean;
  readonly #deadLetters: DeadLetters | undefined;
  readonly #attempts: DeliveryAttempts;
  readonly #bulk: BulkAttempts;
  #hasHinted = false;

  /** @throws {RuleError} for a rule that is no CEL expression; {Error} for other metadata of the subscription that cannot be. */
  constructor(parts: DelivererParts) {
    const { subscription, expressions } = parts;
    this.#parts = parts;
    this.#routes = new Routes(subscription, expressions);
    this.#read = eventReader(subscription);
    this.#isRaw = isRawPayload(subscription.metadata);
    this.#deadLetters = deadLettersOf(parts);
    this.#attempts = new DeliveryAttempts(parts);
    this.#bulk = new BulkAttempts({ ...parts, isRaw: this.#isRaw });
  }

  readonly handle: EventHandler = async (events, signal) => {
    try {
      if (this.#parts.subscription.bulk !== undefined) return await this.#handleBulk(events, signal);
      const [first] = events;
      if (first !== undefined && events.length === 1) return [await this.#handleOne(first, signal)];
      const verdicts: Verdict[] = [];
      for (const event of events) verdicts.push(await this.#handleOne(event, signal));
      return verdicts;
    } catch (error) {
      // Something in here broke; the event must not be lost by it.
      const about = aboutEvent(this.#parts, events[0], undefined);
      this.#parts.log.error(`events could not be handled, and come again: ${messageOf(error)}`, about);
      return events.map(() => "again");
    }
  };

  async #handleOne(incoming: IncomingEvent, signal: CallSignal): Promise<Verdict> {
    const opened = this.#open(incoming);
    if (opened.kind === "ended") return this.#endUnasked(incoming, opened, signal);
    const { event, path } = opened;
    const attempted = await this.#attempts.deliver(incoming, event, path, signal);
    return this.#verdictOn({ incoming, event }, attempted, signal);
  }

  async #handleBulk(events: readonly IncomingEvent[], signal: CallSignal): Promise<readonly Verdict[]> {
    const verdicts = events.map((): Verdict => "again");
    const items: BulkItem[] = [];
    for (const [index, incoming] of events.entries()) {
      const opened = this.#open(incoming);
      if (opened.kind === "routed") items.push({ index, incoming, event: opened.event, path: opened.path });
      else verdicts[index] = await this.#endUnasked(incoming, opened, signal);
    }
    for (const group of groupsOf(items)) {
      if (signal.aborted) break;
      for (const attempted of await this.#bulk.deliver(group, signal)) {
        verdicts[attempted.item.index] = await this.#verdictOn(attempted.item, attempted, signal);
      }
    }
    return verdicts;
  }

  async #verdictOn(
    { incoming, event }: Pick<BulkItem, "incoming" | "event">,
    attempted: Attempted,
    signal: CallSignal,
  ): Promise<Verdict> {
    const { reception } = attempted;
    if (reception.kind === "success") return "done";
    if (signal.aborted) return "again";
    const outcome = outcomeOf(reception, attempted);
    // An app that is being ended may fail because of that.
    const isDeadLetter = outcome.isDeadLetter && (outcome.otherwise === "done" || this.#parts.isClosing?.() !== true);
    return this.#end(incoming, event, { ...outcome, isDeadLetter }, signal);
  }

  #open(incoming: IncomingEvent): Opened {
    let event: CloudEvent;
    try {
      event = this.#read(incoming);
    } catch (error) {
      const why = `it is no CloudEvent, and the subscription is not to raw payloads (metadata rawPayload): ${messageOf(error)}`;
      return { kind: "ended", event: undefined, outcome: unasked(why, "error", "again") };
    }
    const expiration = event.text("expiration");
    if (expiration !== undefined && hasPassed(expiration, this.#parts.clock)) {
      return { kind: "ended", event, outcome: expired(expiration) };
    }
    const route = this.#routes.routeOf(event);
    if (route.kind === "path") return { kind: "routed", event, path: route.path };
    const outcome =
      route.kind === "none"
        ? unasked("no rule matches it, and there is no default route", "warn", "done")
        : unasked(route.why, "error", "again");
    return { kind: "ended", event, outcome };
  }

  /** Of what the app is not asked about. */
  async #endUnasked(
    incoming: IncomingEvent,
    { event, outcome }: Opened & { readonly kind: "ended" },
    signal: CallSignal,
  ): Promise<Verdict> {
    const verdict = await this.#end(incoming, event, outcome, signal);
    const { observer, component, subscription } = this.#parts;
    const status: ProcessStatus = verdict === "done" ? "drop" : "retry";
    if (subscription.bulk === undefined) observer?.delivered(component.name, incoming.topic, status, "", 0);
    else observer?.bulkDelivered(component.name, incoming.topic, status, 1, 0);
    return verdict;
  }

  /** Of what the app has not taken: a dead letter, where there is a topic for them. */
  async #end(
    incoming: IncomingEvent,
    event: CloudEvent | undefined,
    outcome: Outcome,
    signal: CallSignal,
  ): Promise<Verdict> {
    const { log } = this.#parts;
    const { why, level, otherwise, isDeadLetter, isExpired, status, tries } = outcome;
    const about = aboutEvent(this.#parts, incoming, event);
    const letters = isDeadLetter ? this.#deadLetters : undefined;
    if (letters === undefined) {
      log[level](otherwise === "again" ? `an event comes again: ${why}` : `an event is dropped: ${why}`, about);
      return otherwise;
    }
    const attempts = (incoming.attempt ?? 1) - 1 + tries;
    try {
      const asWritten = this.#isRaw ? undefined : event;
      await letters.publish(incoming, asWritten, { reason: why, status, attempts, isExpired }, signal);
    } catch (error) {
      if (!signal.aborted) {
        const failure = `it could not be published to the dead letter topic ${letters.topic}: ${messageOf(error)}`;
        log.error(`an event comes again: ${why}; ${failure}`, about);
      }
      return "again";
    }
    log[level](`an event is a dead letter in ${letters.topic} now: ${why}`, about);
    if (outcome.isUnpolicedFailure && attempts === 1) this.#hint(letters.topic);
    return "done";
  }

  #hint(deadLetterTopic: string): void {
    if (this.#hasHinted) return;
    this.#hasHinted = true;
    const { component, log } = this.#parts;
    const field = `spec.targets.components.${component.name}.inbound`;
    log.warn(
      `an event that fails once goes straight to ${deadLetterTopic}, as no resiliency policy is for it; a retry policy in ${field} of a Resiliency resource has it tried again before`,
      aboutEvent(this.#parts, undefined, undefined),
    );
  }
}

function deadLettersOf(parts: DelivererParts): DeadLetters | undefined {
  const { appId, component, rules, subscription, description, clock, random } = parts;
  const { deadLetterTopic: topic, metadata } = subscription;
  const withDetails = flagIn(metadata, "deadLetterDetails");
  if (topic === undefined) return undefined;
  return new DeadLetters({ appId, component, rules, topic, withDetails, subscription: description, clock, random });
}

/** RFC 3339. What is none never passes, as in daprd. */
function hasPassed(time: string, clock: Clock): boolean {
  if (!/^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/.test(time)) return false;
  return clock.now() > Date.parse(time);
}
