import type { BulkFailure, OutgoingEvent } from "../components/contract/pubsub.ts";
import type { CallSignal } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";
import { messageOf, type OutriggerError } from "../core/errors.ts";
import type { TraceContext } from "../core/trace-context.ts";
import { runWithPolicy } from "../resiliency/policy-runner.ts";
import { bulkEntriesIn } from "./bulk-request.ts";
import { CloudEvent } from "./cloud-event.ts";
import { CLOUD_EVENT_TYPE } from "./content-kind.ts";
import { envelopeOf, rawPayloadEvent, traceOf } from "./envelope.ts";
import type { EventRules, PubSubComponent, PubSubObserver } from "./ports.ts";
import {
  bulkEntryIdsMalformed,
  bulkRequestMalformed,
  cloudEventMalformed,
  publishFailed,
  publishMetadataMalformed,
  pubsubNameEmpty,
  pubsubNotFound,
  topicForbidden,
  topicNameEmpty,
} from "./publish-errors.ts";
import { isRawPayload } from "./raw-payload.ts";
import { unlessAborted } from "./unless-aborted.ts";

export interface PublisherParts {
  /** The source of events that do not say theirs. */
  readonly appId: string;
  readonly rules: Pick<EventRules, "pubsubs" | "policies">;
  readonly observer: PubSubObserver | undefined;
  readonly clock: Clock;
}

/** Where an event goes, and what it comes from. */
export interface PublishTarget {
  readonly pubsub: string;
  readonly topic: string;
  /** Of the request. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly trace: TraceContext;
  readonly signal: CallSignal;
}

export interface PublishedEvent {
  readonly data: Uint8Array;
  /** Undefined where the publisher did not say: text/plain (seed 002). */
  readonly contentType: string | undefined;
}

export interface PublishedEntry extends PublishedEvent {
  readonly entryId: string;
  /** Of this event alone, over that of the request. */
  readonly metadata: ReadonlyMap<string, string>;
}

export interface FailedEntry {
  readonly entryId: string;
  readonly error: string;
}

/** What to say in one of events that were not taken. */
export function bulkFailure(failed: readonly FailedEntry[]): Error {
  const told = failed.slice(0, MOST_TOLD).map(({ entryId, error }) => `entry ${entryId}: ${error}`);
  if (failed.length > MOST_TOLD) told.push(`and ${failed.length - MOST_TOLD} more`);
  return new Error(told.join("; "));
}

const MOST_TOLD = 10;

/** Publishing, whatever door an event comes through (A7). */
export class Publisher {
  readonly #parts: PublisherParts;

  constructor(parts: PublisherParts) {
    this.#parts = parts;
  }

  /**
   * Resolves once the broker has the event.
   *
   * @throws {OutriggerError} every row of A7.
   */
  async publish(target: PublishTarget, event: PublishedEvent): Promise<void> {
    const { component, isRaw } = this.#destination(target);
    await this.#publishOne(target, component, this.#outgoing(target, event, target.metadata, component, isRaw));
  }

  /**
   * Publishes bytes that are an event already, with this metadata and no other beside them.
   *
   * @throws {OutriggerError} pubsubNotFound, topicForbidden, publishFailed.
   */
  async publishAsIs(target: PublishTarget, event: PublishedEvent): Promise<void> {
    const { component } = this.#destination(target);
    await this.#publishOne(target, component, { topic: target.topic, ...event, metadata: target.metadata });
  }

  /**
   * What publishing would publish: for an event that is wrapped its envelope, for a raw payload what a subscription to raw
   * payloads makes of it. Nothing is published.
   *
   * @throws {OutriggerError} as publishing does.
   */
  envelopeFor(target: PublishTarget, event: PublishedEvent): CloudEvent {
    const { component, isRaw } = this.#destination(target);
    this.#refuseForbidden(target, component);
    if (isRaw) return rawPayloadEvent(event.data, target.topic, target.pubsub);
    return CloudEvent.parse(this.#outgoing(target, event, target.metadata, component, isRaw).data);
  }

  async #publishOne(target: PublishTarget, component: PubSubComponent, event: OutgoingEvent): Promise<void> {
    await this.#observed("published", target, async () => {
      this.#refuseForbidden(target, component);
      try {
        await this.#underPolicy(target, () => component.broker.publish(event), noFailure);
      } catch (cause) {
        throw publishFailed(target, cause);
      }
    });
  }

  /**
   * The events of one topic, each of which may be taken or not.
   *
   * @returns what was not taken, by its entryId; that is all of them where the broker failed.
   * @throws {OutriggerError} the same, of the request as a whole.
   */
  async publishBulk(target: PublishTarget, entries: readonly PublishedEntry[]): Promise<readonly FailedEntry[]> {
    const { component, isRaw } = this.#destination(target);
    const ids = new Set(entries.map(({ entryId }) => entryId));
    if (ids.size < entries.length || ids.has("")) throw bulkEntryIdsMalformed(this.#place(target));
    return await this.#publishAll(target, entries, component, isRaw);
  }

  /**
   * The same, of what {@link bulkEntriesIn} reads.
   *
   * @throws {OutriggerError} what that throws too.
   */
  async publishBulkRequest(target: PublishTarget, body: Uint8Array): Promise<readonly FailedEntry[]> {
    const { component, isRaw } = this.#destination(target);
    return await this.#publishAll(target, bulkEntriesIn(body, this.#place(target)), component, isRaw);
  }

  /** What is wrong with a bulk request whose body breaks off, in Go's words: it is then one that could not be read. */
  bulkRequestBroken(target: PublishTarget, cause: unknown): OutriggerError {
    return bulkRequestMalformed(this.#place(target), new Error("unexpected EOF", { cause }));
  }

  async #publishAll(
    target: PublishTarget,
    entries: readonly PublishedEntry[],
    component: PubSubComponent,
    isRaw: boolean,
  ): Promise<readonly FailedEntry[]> {
    const events = entries.map((entry) => {
      const metadata = entry.metadata.size === 0 ? target.metadata : new Map([...target.metadata, ...entry.metadata]);
      return this.#outgoing(target, entry, metadata, component, isRaw);
    });
    const failures = await this.#observed("bulkPublished", target, () => {
      this.#refuseForbidden(target, component);
      return this.#bulkUnderPolicy(target, component, events);
    });
    return failures.map(({ index, error }) => ({ entryId: entries[index]?.entryId ?? "", error }));
  }

  #destination(target: PublishTarget): { readonly component: PubSubComponent; readonly isRaw: boolean } {
    const { pubsub, topic, metadata } = target;
    if (pubsub === "") throw pubsubNameEmpty(metadata);
    const component = this.#parts.rules.pubsubs.get(pubsub);
    if (component === undefined) throw pubsubNotFound(pubsub, metadata);
    if (topic === "") throw topicNameEmpty(pubsub, metadata);
    try {
      return { component, isRaw: isRawPayload(metadata) };
    } catch (cause) {
      throw publishMetadataMalformed(pubsub, metadata, cause);
    }
  }

  #outgoing(
    target: PublishTarget,
    event: PublishedEvent,
    metadata: ReadonlyMap<string, string>,
    component: PubSubComponent,
    isRaw: boolean,
  ): OutgoingEvent {
    const { topic } = target;
    if (isRaw) return { topic, ...event, metadata: withTrace(metadata, target.trace) };
    const { appId, clock } = this.#parts;
    const brokerExpires = component.broker.features.has("MESSAGE_TTL");
    const { pubsub, trace } = target;
    const context = { appId, pubsub, topic, metadata, trace, now: clock.now(), brokerExpires };
    try {
      const data = Buffer.from(envelopeOf(event, context).toJson());
      return { topic, data, contentType: CLOUD_EVENT_TYPE, metadata };
    } catch (cause) {
      throw cloudEventMalformed(this.#place(target), cause);
    }
  }

  #refuseForbidden(target: PublishTarget, { scopes }: PubSubComponent): void {
    if (!scopes.mayPublish(target.topic)) throw topicForbidden(this.#place(target));
  }

  #place({ pubsub, topic }: PublishTarget): { appId: string; pubsub: string; topic: string } {
    return { appId: this.#parts.appId, pubsub, topic };
  }

  /** Each try publishes what is left. Where the broker fails, nothing of that is known to have been taken. */
  async #bulkUnderPolicy(
    target: PublishTarget,
    { broker }: PubSubComponent,
    events: readonly OutgoingEvent[],
  ): Promise<readonly BulkFailure[]> {
    if (events.length === 0) return [];
    let left = events.map((_event, index) => index);
    const attempt = async (): Promise<readonly BulkFailure[]> => {
      const tried = left;
      const failures = await broker.publishBulk(
        target.topic,
        tried.flatMap((index) => events[index] ?? []),
      );
      const known = failures.map(({ index, error }) => ({ index: tried[index] ?? -1, error }));
      left = known.map(({ index }) => index);
      return known;
    };
    try {
      return await this.#underPolicy(target, attempt, (failures) => (failures.length === 0 ? undefined : NO_CODE));
    } catch (error) {
      return left.map((index) => ({ index, error: messageOf(error) }));
    }
  }

  /** A broker that does not answer is not waited for once the publisher has left, or the time of a try is over. */
  #underPolicy<Result>(
    { pubsub, signal }: PublishTarget,
    attempt: () => Promise<Result>,
    failureIn: (result: Result) => typeof NO_CODE | undefined,
  ): Promise<Result> {
    const { rules, clock } = this.#parts;
    const policy = rules.policies?.policyFor({
      kind: "component",
      name: pubsub,
      type: "pubsub",
      direction: "outbound",
    });
    if (policy === undefined) return unlessAborted(attempt(), signal);
    return runWithPolicy<Result>({
      policy,
      clock,
      signal,
      random: Math.random,
      attempt: (trying) => unlessAborted(attempt(), trying),
      failureIn,
      failureOf: () => NO_CODE,
      mayRepeat: () => true,
      discard: () => undefined,
    });
  }

  async #observed<Result>(
    what: "published" | "bulkPublished",
    { pubsub, topic }: PublishTarget,
    publish: () => Promise<Result>,
  ): Promise<Result> {
    const { observer, clock } = this.#parts;
    if (observer === undefined) return publish();
    const begun = clock.monotonic();
    let isSuccess = false;
    try {
      const result = await publish();
      isSuccess = !Array.isArray(result) || result.length === 0;
      return result;
    } finally {
      observer[what](pubsub, topic, isSuccess, clock.monotonic() - begun);
    }
  }
}

const NO_CODE = { code: undefined } as const;

function noFailure(): undefined {
  return undefined;
}

/** Bytes say nothing of their trace, so what is beside them does. */
function withTrace(metadata: ReadonlyMap<string, string>, context: TraceContext): ReadonlyMap<string, string> {
  const { traceparent, tracestate } = traceOf(context);
  return traceparent === "" ? metadata : new Map([["traceid", traceparent], ["tracestate", tracestate], ...metadata]);
}
