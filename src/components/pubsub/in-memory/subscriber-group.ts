import { CallAbort, type CallSignal } from "../../../core/call-signal.ts";
import type { Clock } from "../../../core/clock.ts";
import type { Logger } from "../../../core/logger.ts";
import { HandOut } from "../../../pubsub/hand-out.ts";
import type { BrokerSubscription, IncomingEvent, SubscribeOptions, Verdict } from "../../contract/pubsub.ts";

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 30_000;

export interface SubscriberGroupParts {
  /** Of its component, for the log. */
  readonly component: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told of each event that was offered, once: when it is done, or nobody is left to take it. */
  readonly onDone: (event: IncomingEvent) => void;
}

/** Those who share the events of one topic, or of one pattern. Each works on one event, or batch, at a time. */
export class SubscriberGroup {
  readonly #parts: SubscriberGroupParts;
  readonly #handOut: HandOut;
  readonly #members: Member[] = [];
  readonly #topic: string;

  constructor(topic: string, parts: SubscriberGroupParts) {
    this.#topic = topic;
    this.#parts = parts;
    const { clock, onDone } = parts;
    const members = this.#members;
    this.#handOut = new HandOut({
      clock,
      handle: (events) => this.#handle(events),
      get batch() {
        return members.at(-1)?.options.batch;
      },
      get keyOf() {
        return members.at(-1)?.options.keyOf;
      },
      mayBegin: () => members.some(({ isIdle }) => isIdle),
      pauseMs: (failures) => Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), LONGEST_PAUSE_MS),
      onDone,
      mayKeep: () => true,
    });
  }

  get isEmpty(): boolean {
    return this.#members.length === 0;
  }

  /** A topic that ends in `*` is every topic that begins so. */
  isFor(topic: string): boolean {
    return this.#topic.endsWith("*") ? topic.startsWith(this.#topic.slice(0, -1)) : topic === this.#topic;
  }

  offer(event: IncomingEvent): void {
    this.#handOut.offer(event);
  }

  /** @param onLeave told when nothing more is handed out to it. */
  join(options: SubscribeOptions, onLeave: () => void): BrokerSubscription {
    const member = new Member(options);
    this.#members.push(member);
    this.#handOut.handOut();
    return {
      close: async (patienceMs) => {
        const place = this.#members.indexOf(member);
        if (place !== -1) {
          this.#members.splice(place, 1);
          onLeave();
        }
        await member.end(patienceMs, this.#parts.clock);
        if (this.isEmpty) await this.#end();
      },
    };
  }

  async #handle(events: readonly IncomingEvent[]): Promise<readonly Verdict[]> {
    const member = this.#members.find(({ isIdle }) => isIdle);
    return member === undefined ? [] : member.handle(events);
  }

  /** Nobody is left: what it holds is gone. */
  async #end(): Promise<void> {
    await this.#handOut.close(0);
    const undone = this.#handOut.takeUndone();
    for (const { event } of undone) this.#parts.onDone(event);
    if (undone.length === 0) return;
    const { component, log } = this.#parts;
    const what = undone.length === 1 ? "one event is lost" : `${undone.length} events are lost`;
    const why = "nobody is subscribed any more, and pubsub.in-memory keeps nothing";
    log.warn(`${what}: ${why}`, { component, topic: this.#topic });
  }
}

class Member {
  readonly options: SubscribeOptions;
  readonly #force = new CallAbort();
  #work: Promise<unknown> | undefined;

  constructor(options: SubscribeOptions) {
    this.options = options;
  }

  get isIdle(): boolean {
    return this.#work === undefined;
  }

  async handle(events: readonly IncomingEvent[]): Promise<readonly Verdict[]> {
    const work = Promise.race([this.options.handle(events, this.#force), fired(this.#force)]);
    this.#work = work;
    try {
      return await work;
    } finally {
      this.#work = undefined;
    }
  }

  /** As `BrokerSubscription.close` has it. */
  async end(patienceMs: number, clock: Clock): Promise<void> {
    if (this.#work !== undefined && patienceMs > 0) {
      const patience = new CallAbort();
      const outOfPatience = clock.sleep(patienceMs, patience);
      await Promise.race([this.#work, outOfPatience]).catch(() => undefined);
      patience.abort(new Error("nobody waits any more"));
      outOfPatience.catch(() => undefined);
    }
    if (!this.isIdle) this.#force.abort(new Error("the subscription was closed before the event was done"));
  }
}

/** Resolves to no verdicts. */
function fired(signal: CallSignal): Promise<readonly Verdict[]> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", {
      handleEvent: () => {
        resolve([]);
      },
    });
  });
}
