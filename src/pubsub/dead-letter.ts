import type { IncomingEvent, OutgoingEvent } from "../components/contract/pubsub.ts";
import { type AbortListener, abortReason, CallAbort, type CallSignal } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";
import { goJson } from "../core/go-json.ts";
import { runWithPolicy } from "../resiliency/policy-runner.ts";
import type { CloudEvent } from "./cloud-event.ts";
import { DEAD_LETTER_DETAILS } from "./dead-letter-details.ts";
import type { EventRules, PubSubComponent } from "./ports.ts";

export interface DeadLettersParts {
  readonly appId: string;
  readonly component: PubSubComponent;
  readonly rules: Pick<EventRules, "policies">;
  /** Where they go, in the same component. */
  readonly topic: string;
  /** Whether they say why. */
  readonly withDetails: boolean;
  /** What the log calls the subscription. */
  readonly subscription: string;
  readonly clock: Clock;
  readonly random: () => number;
}

/** Why an event is a dead letter. */
export interface DeathCause {
  readonly reason: string;
  /** How the app answered last: `500`, `UNAVAILABLE`, `RETRY`; undefined where it was not asked, or did not answer. */
  readonly status: string | undefined;
  /** Its time has passed. */
  readonly isExpired: boolean;
  /** How often the app was asked at least: every earlier hand-out of the broker counts as one, this one with all its tries. */
  readonly attempts: number;
}

// daprd's.
const PUBLISH_TIMEOUT_MS = 30_000;

/** The dead letters of one subscription: events that are put aside, as they came. */
export class DeadLetters {
  readonly topic: string;
  readonly #parts: DeadLettersParts;

  constructor(parts: DeadLettersParts) {
    this.topic = parts.topic;
    this.#parts = parts;
  }

  /**
   * Resolves once the broker has it.
   *
   * @param cloudEvent what the event was read as; undefined for what is no CloudEvent, whose bytes stay as they are.
   * @param signal ends waiting.
   * @throws {Error} where the broker has not taken it, or may not be given it, or takes longer than 30 seconds.
   */
  async publish(
    event: IncomingEvent,
    cloudEvent: CloudEvent | undefined,
    cause: DeathCause,
    signal: CallSignal,
  ): Promise<void> {
    const { component, topic, appId } = this.#parts;
    if (!component.scopes.mayPublish(topic)) {
      throw new Error(`topic ${topic} is not allowed for app id ${appId}, by the component's publishing scopes`);
    }
    const letter = this.#parts.withDetails ? this.#explained(event, cloudEvent, cause) : original(event, topic);
    await this.#publishInTime(letter, signal);
  }

  /** Under the policy for what the app publishes, as a publisher's own events are. */
  async #publishUnderPolicy(letter: OutgoingEvent, signal: CallSignal): Promise<void> {
    const { component, rules, clock, random } = this.#parts;
    const { name, broker } = component;
    const policy = rules.policies?.policyFor({ kind: "component", name, type: "pubsub", direction: "outbound" });
    if (policy === undefined) return broker.publish(letter);
    await runWithPolicy<undefined>({
      policy,
      clock,
      signal,
      random,
      attempt: async (attemptSignal) => {
        await untilFired(broker.publish(letter), attemptSignal);
        return undefined;
      },
      failureIn: () => undefined,
      failureOf: () => ({ code: undefined }),
      mayRepeat: () => true,
      discard: () => undefined,
    });
  }

  async #publishInTime(letter: OutgoingEvent, signal: CallSignal): Promise<void> {
    const over = new CallAbort();
    const asOuter: AbortListener = {
      handleEvent: () => {
        over.abort(abortReason(signal));
      },
    };
    signal.addEventListener("abort", asOuter);
    if (signal.aborted) asOuter.handleEvent();
    const timer = new CallAbort();
    this.#parts.clock.sleep(PUBLISH_TIMEOUT_MS, timer).then(
      () => {
        over.abort(new Error(`the broker did not take it within ${PUBLISH_TIMEOUT_MS / 1000} seconds`));
      },
      () => undefined,
    );
    try {
      await untilFired(this.#publishUnderPolicy(letter, over), over);
    } finally {
      timer.abort(new Error("it is published"));
      signal.removeEventListener("abort", asOuter);
    }
  }

  #explained(event: IncomingEvent, cloudEvent: CloudEvent | undefined, cause: DeathCause): OutgoingEvent {
    const { topic, subscription } = this.#parts;
    const details: Readonly<Record<keyof typeof DEAD_LETTER_DETAILS, string | number | undefined>> = {
      reason: cause.reason,
      attempts: cause.attempts,
      status: cause.status,
      subscription,
      topic: event.topic,
    };
    const keys = Object.keys(DEAD_LETTER_DETAILS) as (keyof typeof DEAD_LETTER_DETAILS)[];
    const fields = keys.map((key) => [DEAD_LETTER_DETAILS[key], details[key]] as const);
    const letter = original(event, topic);
    if (cloudEvent?.has("specversion") !== true) {
      const metadata = new Map(event.metadata);
      for (const [name, value] of fields) {
        // What an earlier death has said is no longer so.
        if (value === undefined) metadata.delete(name);
        else metadata.set(name, `${value}`);
      }
      return { ...letter, metadata };
    }
    const changes = new Map<string, string | undefined>();
    for (const [name, value] of fields) changes.set(name, value === undefined ? undefined : goJson(value));
    // With it, who subscribes to dead letters would never get to know of them.
    if (cause.isExpired) changes.set("expiration", undefined);
    return { ...letter, data: Buffer.from(cloudEvent.with(changes).toJson()) };
  }
}

function original({ data, contentType, metadata }: IncomingEvent, topic: string): OutgoingEvent {
  return { topic, data, contentType, metadata };
}

/** Rejects with the signal's reason as soon as it fires; what goes on then is not waited for. */
async function untilFired(work: Promise<void>, signal: CallSignal): Promise<void> {
  let leave: AbortListener | undefined;
  const fired = new Promise<never>((_, reject) => {
    leave = {
      handleEvent: () => {
        reject(abortReason(signal));
      },
    };
    signal.addEventListener("abort", leave);
    if (signal.aborted) leave.handleEvent();
  });
  try {
    await Promise.race([work, fired]);
  } finally {
    if (leave !== undefined) signal.removeEventListener("abort", leave);
  }
}
