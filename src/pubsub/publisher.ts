import type { CallSignal } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";
import type { TraceContext } from "../core/trace-context.ts";
import type { EventRules, PubSubObserver } from "./ports.ts";

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
  publish(_target: PublishTarget, _event: PublishedEvent): Promise<void> {
    return Promise.reject(new Error(this.#parts.appId));
  }

  /** @returns what was not taken, by its entryId. @throws {OutriggerError} the same, of the request as a whole. */
  publishBulk(_target: PublishTarget, _entries: readonly PublishedEntry[]): Promise<readonly FailedEntry[]> {
    return Promise.reject(new Error(this.#parts.appId));
  }
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
