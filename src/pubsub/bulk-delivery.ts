import { randomUUID } from "node:crypto";
import type { IncomingEvent } from "../components/contract/pubsub.ts";
import type { CallSignal } from "../core/call-signal.ts";
import { messageOf } from "../core/errors.ts";
import type { Span } from "../core/tracer.ts";
import type { FailureCode } from "../resiliency/matching.ts";
import { runWithPolicy } from "../resiliency/policy-runner.ts";
import type { CallPolicy } from "../resiliency/resiliency-policies.ts";
import type { CloudEvent } from "./cloud-event.ts";
import { type AttemptsParts, inboundPolicy, PUBSUB_NAME } from "./delivery-attempts.ts";
import { aboutEvent } from "./event-log.ts";
import { spanOutcomeOf, startEventSpan } from "./event-span.ts";
import {
  type Attempted,
  afterAll,
  isPending,
  processStatusOf,
  receptionOfError,
  statusOf,
  statusOfError,
} from "./outcome.ts";
import type { BulkEntry, ProcessStatus, Reception } from "./ports.ts";

/** An event of a batch that has a route. */
export interface BulkItem {
  /** Its place in the batch. */
  readonly index: number;
  readonly incoming: IncomingEvent;
  readonly event: CloudEvent;
  readonly path: string;
}

export interface AttemptedItem extends Attempted {
  readonly item: BulkItem;
}

/** Those that go to the app in one call: of one topic and one path, in their order. */
export function groupsOf(items: readonly BulkItem[]): readonly (readonly BulkItem[])[] {
  const groups = new Map<string, BulkItem[]>();
  for (const item of items) {
    const key = JSON.stringify([item.incoming.topic, item.path]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return [...groups.values()];
}

export interface BulkAttemptsParts extends AttemptsParts {
  /** Whether the app gets the bytes as they are, and no CloudEvents around them. */
  readonly isRaw: boolean;
}

/** Hands groups of events to the app, and again those that it has not taken, as often as the policy for its component says. */
export class BulkAttempts {
  readonly #parts: BulkAttemptsParts;

  constructor(parts: BulkAttemptsParts) {
    this.#parts = parts;
  }

  /** Never rejects; what it says does not matter where the signal has fired. @returns in the order of the group. */
  async deliver(group: readonly BulkItem[], signal: CallSignal): Promise<readonly AttemptedItem[]> {
    const policy = inboundPolicy(this.#parts);
    const entries = group.map((item) => new Entry(item, this.#entryOf(item)));
    try {
      if (policy === undefined) await this.#attempt(entries, signal);
      else await this.#deliverUnderPolicy(policy, entries, signal);
    } catch (error) {
      for (const entry of entries) if (entry.isPending) entry.fails(error);
    }
    return entries.map((entry) => entry.attempted(policy !== undefined));
  }

  async #deliverUnderPolicy(policy: CallPolicy, entries: readonly Entry[], signal: CallSignal): Promise<void> {
    const { clock, random, isClosing } = this.#parts;
    let why = "";
    await runWithPolicy<undefined>({
      policy,
      clock,
      signal,
      random,
      attempt: async (attemptSignal) => {
        await this.#attempt(entries.filter(isLeft), attemptSignal);
        return undefined;
      },
      failureIn: () => {
        const failed = entries.filter(isLeft);
        why = failed[0]?.why ?? "";
        return failed.length === 0 ? undefined : { code: commonCode(failed) };
      },
      failureOf: (error) => {
        why = messageOf(error);
        return { code: undefined };
      },
      mayRepeat: () => isClosing?.() !== true,
      discard: () => undefined,
      onRetry: (retry, pauseMs) => {
        this.#logRetry(entries.filter(isLeft), why, retry, pauseMs);
      },
    });
  }

  #logRetry(pending: readonly Entry[], why: string, retry: number, pauseMs: number): void {
    const first = pending[0]?.item;
    const what = pending.length === 1 ? "an event was" : `${pending.length} events, of which this is the first, were`;
    const then = `it is tried again in ${Math.round(pauseMs)} ms (retry ${retry})`;
    this.#parts.log.warn(`${what} not taken: ${why}; ${then}`, aboutEvent(this.#parts, first?.incoming, first?.event));
  }

  /** One call of the app. */
  async #attempt(pending: readonly Entry[], signal: CallSignal): Promise<void> {
    const { receiver, component, description, clock } = this.#parts;
    const [first] = pending;
    if (first === undefined) return;
    const { path, incoming } = first.item;
    const spans = this.#spansOf(pending);
    for (const entry of pending) entry.tries++;
    const startedAt = clock.monotonic();
    try {
      const delivery = {
        id: randomUUID(),
        pubsub: component.name,
        topic: incoming.topic,
        subscription: description,
        path,
        entries: pending.map(({ entry }) => entry),
        metadata: new Map([[PUBSUB_NAME, component.name]]),
      };
      const receptions = await receiver.deliverBulk(delivery, signal);
      for (const [place, entry] of pending.entries()) entry.takes(receptions[place] ?? UNANSWERED);
      for (const [place, { reception }] of pending.entries()) spans[place]?.end(spanOutcomeOf(reception));
    } catch (error) {
      for (const entry of pending) entry.fails(error);
      for (const span of spans) span.end({ error: messageOf(error) });
      throw error;
    } finally {
      this.#tell(incoming.topic, pending, clock.monotonic() - startedAt);
    }
  }

  #spansOf(pending: readonly Entry[]): readonly Span[] {
    const { tracer } = this.#parts;
    if (tracer === undefined) return [];
    return pending.map(({ item }) => startEventSpan(tracer, item.incoming.topic, item.event, item.incoming.metadata));
  }

  #tell(topic: string, pending: readonly Entry[], ms: number): void {
    const { observer, component } = this.#parts;
    if (observer === undefined) return;
    const counts = new Map<ProcessStatus, number>();
    for (const { reception } of pending) {
      const status = processStatusOf(reception);
      counts.set(status, (counts.get(status) ?? 0) + 1);
    }
    for (const [status, events] of counts) observer.bulkDelivered(component.name, topic, status, events, ms);
  }

  #entryOf({ incoming, event }: BulkItem): BulkEntry {
    const { metadata, data } = incoming;
    const entryId = randomUUID();
    return this.#parts.isRaw
      ? { entryId, event: data, contentType: "application/octet-stream", metadata }
      : { entryId, event, contentType: "application/cloudevents+json", metadata };
  }
}

const UNANSWERED: Reception = { kind: "retry", why: "the app's answer does not speak of this entry", code: undefined };
const UNASKED: Reception = { kind: "unreached", why: "the app was not asked", code: undefined, isGone: false };

/** One event of a group, and what the app has said of it so far. */
class Entry {
  tries = 0;
  reception: Reception = UNASKED;
  #status: string | undefined;
  /** Of an earlier try, if one got to the app. */
  #failed: Reception | undefined;

  constructor(
    readonly item: BulkItem,
    readonly entry: BulkEntry,
  ) {}

  get isPending(): boolean {
    return isPending(this.reception);
  }

  get why(): string {
    return this.reception.kind === "success" ? "" : this.reception.why;
  }

  takes(reception: Reception): void {
    this.#keep(reception);
    this.#status = statusOf(reception, this.#status);
  }

  fails(error: unknown): void {
    this.#keep(receptionOfError(error));
    this.#status = statusOfError(error, this.#status);
  }

  attempted(isPoliced: boolean): AttemptedItem {
    const { item, reception, tries } = this;
    return { item, reception: afterAll(reception, this.#failed), tries, status: this.#status, isPoliced };
  }

  #keep(reception: Reception): void {
    if (reception.kind === "retry") this.#failed = reception;
    this.reception = reception;
  }
}

function isLeft(entry: Entry): boolean {
  return entry.isPending;
}

/** With which code all have failed; undefined where they differ, or have none. */
function commonCode(failed: readonly Entry[]): FailureCode | undefined {
  const codes = failed.map(({ reception }) => (reception.kind === "success" ? undefined : reception.code));
  const [first] = codes;
  const isCommon = codes.every((code) => code?.protocol === first?.protocol && code?.code === first?.code);
  return isCommon ? first : undefined;
}
