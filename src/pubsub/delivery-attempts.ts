import type { IncomingEvent } from "../components/contract/pubsub.ts";
import type { CallSignal } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import type { Span, Tracer } from "../core/tracer.ts";
import { runWithPolicy } from "../resiliency/policy-runner.ts";
import type { CallPolicy } from "../resiliency/resiliency-policies.ts";
import type { CloudEvent } from "./cloud-event.ts";
import { aboutEvent, type LoggedSubscription } from "./event-log.ts";
import { spanOutcomeOf, startEventSpan, traceparentOf, tracestateOf } from "./event-span.ts";
import {
  type Attempted,
  afterAll,
  isPending,
  processStatusOf,
  receptionOfError,
  statusOf,
  statusOfError,
} from "./outcome.ts";
import type { Delivery, EventReceiver, EventRules, PubSubObserver, Reception } from "./ports.ts";

export interface AttemptsParts extends LoggedSubscription {
  readonly receiver: EventReceiver;
  readonly rules: Pick<EventRules, "policies">;
  /** Whether the subscription is being closed: then what fails is not tried again here. Absent: it never is. */
  readonly isClosing?: () => boolean;
  readonly observer: PubSubObserver | undefined;
  readonly tracer: Tracer | undefined;
  readonly clock: Clock;
  /** Between 0 and 1. */
  readonly random: () => number;
  readonly log: Logger;
}

/** Hands single events to the app, as often as the policy for its component says. */
export class DeliveryAttempts {
  readonly #parts: AttemptsParts;
  readonly #noMetadata: ReadonlyMap<string, string>;

  constructor(parts: AttemptsParts) {
    this.#parts = parts;
    this.#noMetadata = new Map([[PUBSUB_NAME, parts.component.name]]);
  }

  /** Never rejects; what it says does not matter where the signal has fired. */
  async deliver(incoming: IncomingEvent, event: CloudEvent, path: string, signal: CallSignal): Promise<Attempted> {
    const { component, description } = this.#parts;
    const { name } = component;
    const { metadata, topic } = incoming;
    const delivery: Delivery = {
      pubsub: name,
      topic,
      subscription: description,
      path,
      event,
      metadata: metadata.size === 0 ? this.#noMetadata : new Map(metadata).set(PUBSUB_NAME, name),
      traceparent: traceparentOf(event, metadata),
      tracestate: tracestateOf(event, metadata),
    };
    const policy = inboundPolicy(this.#parts);
    if (policy !== undefined) return this.#deliverUnderPolicy(policy, incoming, delivery, signal);
    try {
      const reception = await this.#attempt(delivery, signal);
      return { reception, tries: 1, status: statusOf(reception, undefined), isPoliced: false };
    } catch (error) {
      return { reception: receptionOfError(error), tries: 1, status: undefined, isPoliced: false };
    }
  }

  async #deliverUnderPolicy(
    policy: CallPolicy,
    incoming: IncomingEvent,
    delivery: Delivery,
    signal: CallSignal,
  ): Promise<Attempted> {
    const { clock, random, isClosing, log } = this.#parts;
    let tries = 0;
    let status: string | undefined;
    let why = "";
    let failed: Reception | undefined;
    try {
      const reception = await runWithPolicy<Reception>({
        policy,
        clock,
        signal,
        random,
        attempt: (attemptSignal) => {
          tries++;
          return this.#attempt(delivery, attemptSignal);
        },
        failureIn: (answer) => {
          status = statusOf(answer, status);
          if (!isPending(answer)) return undefined;
          why = answer.why;
          if (answer.kind === "retry") failed = answer;
          return { code: answer.code };
        },
        failureOf: (error) => {
          status = statusOfError(error, status);
          why = messageOf(error);
          failed = receptionOfError(error);
          return { code: undefined };
        },
        mayRepeat: () => isClosing?.() !== true,
        discard: () => undefined,
        onRetry: (retry, pauseMs) => {
          const about = aboutEvent(this.#parts, incoming, delivery.event);
          log.warn(
            `an event was not taken: ${why}; it is tried again in ${Math.round(pauseMs)} ms (retry ${retry})`,
            about,
          );
        },
      });
      return { reception: afterAll(reception, failed), tries, status, isPoliced: true };
    } catch (error) {
      return { reception: afterAll(receptionOfError(error), failed), tries, status, isPoliced: true };
    }
  }

  #attempt(delivery: Delivery, signal: CallSignal): Promise<Reception> {
    const { receiver, observer, tracer } = this.#parts;
    if (observer === undefined && tracer === undefined) return receiver.deliver(delivery, signal);
    return this.#watched(delivery, signal);
  }

  async #watched(delivery: Delivery, signal: CallSignal): Promise<Reception> {
    const { receiver, tracer, clock } = this.#parts;
    const { topic, event, metadata } = delivery;
    const span = tracer === undefined ? undefined : startEventSpan(tracer, topic, event, metadata);
    const startedAt = clock.monotonic();
    try {
      const reception = await receiver.deliver(span === undefined ? delivery : under(span, delivery), signal);
      this.#tell(topic, reception, startedAt);
      span?.end(spanOutcomeOf(reception));
      return reception;
    } catch (error) {
      this.#tell(topic, receptionOfError(error), startedAt);
      span?.end({ error: messageOf(error) });
      throw error;
    }
  }

  #tell(topic: string, reception: Reception, startedAt: number): void {
    const { observer, component, clock } = this.#parts;
    if (observer === undefined) return;
    const { kind } = reception;
    // An app that answers with a code, or was not reached, has given the event no status of pub/sub.
    const hasStatus = kind === "success" || (kind !== "unreached" && reception.code === undefined);
    const status = processStatusOf(reception);
    observer.delivered(component.name, topic, status, hasStatus ? status : "", clock.monotonic() - startedAt);
  }
}

/** The field of the metadata that every event has at the app. */
export const PUBSUB_NAME = "pubsubName";

/** Undefined where no policy is for what the component hands out. */
export function inboundPolicy({
  rules,
  component,
}: Pick<AttemptsParts, "rules" | "component">): CallPolicy | undefined {
  const { policies } = rules;
  if (policies === undefined) return undefined;
  return policies.policyFor({ kind: "component", name: component.name, type: "pubsub", direction: "inbound" });
}

function under(span: Span, delivery: Delivery): Delivery {
  const { traceparent, tracestate } = span.trace;
  return { ...delivery, traceparent, tracestate };
}
