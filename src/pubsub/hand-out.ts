import type { BatchLimits, EventHandler, IncomingEvent, Verdict } from "../components/contract/pubsub.ts";
import { CallAbort } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";

/** How a broker's events get to the handler of a subscription. What can change may be a getter: it is asked each time. */
export interface HandOutRules {
  readonly clock: Clock;
  readonly handle: EventHandler;
  readonly batch: BatchLimits | undefined;
  readonly keyOf: ((event: IncomingEvent) => string | undefined) | undefined;
  /** Whether one more call of the handler may begin, where so many are under way. */
  mayBegin(underWay: number): boolean;
  /** How long an event waits after so many failures in a row, in milliseconds. */
  pauseMs(failures: number): number;
  /** The handler is through with it. */
  onDone(event: IncomingEvent): void;
  /**
   * It has failed, and would wait to be tried again. Not asked for an event that has a key: its place must be kept.
   *
   * @param waiting how many events wait already, because they have failed.
   * @returns whether to keep it; where not, it is forgotten here.
   */
  mayKeep(event: IncomingEvent, waiting: number): boolean;
}

/** What was not done with when a {@link HandOut} was closed. */
export interface Undone {
  readonly event: IncomingEvent;
  /** Whether the handler had it, with this `attempt`. */
  readonly wasHandedOut: boolean;
}

interface Held {
  event: IncomingEvent;
  readonly key: string | undefined;
  failures: number;
  isUnderWay: boolean;
}

/**
 * Hands events out within one process, for brokers that have no order of their own for keys: of two with the same key the
 * later waits until the earlier is done, and one that fails is tried again in its place, so that the order holds. Events with
 * other keys, and without, pass meanwhile. Makes batches, and ends in good order.
 */
export class HandOut {
  readonly #rules: HandOutRules;
  readonly #held = new Set<Held>();
  /** What can be handed out now, the first first. */
  readonly #ready: Held[] = [];
  /** Who waits behind the event of a key that is ready, under way or to be tried again. */
  readonly #behind = new Map<string, Held[]>();
  readonly #force = new CallAbort();
  /** Fires when nothing is waited for any more: pauses, and batches that might grow. */
  readonly #noMore = new CallAbort();
  readonly #isOver = new Over();
  #behindCount = 0;
  #waiting = 0;
  #underWay = 0;
  #batchTimer: CallAbort | undefined;
  #batchIsDue = false;

  constructor(rules: HandOutRules) {
    this.#rules = rules;
  }

  /** How many events are here, in whatever state. */
  get size(): number {
    return this.#held.size;
  }

  /** How many of them wait for an earlier one of their key. */
  get behind(): number {
    return this.#behindCount;
  }

  events(): IncomingEvent[] {
    return [...this.#held].map(({ event }) => event);
  }

  offer(event: IncomingEvent): void {
    const key = this.#rules.keyOf?.(event);
    const held: Held = { event, key, failures: 0, isUnderWay: false };
    this.#held.add(held);
    const behind = key === undefined ? undefined : this.#behind.get(key);
    if (behind !== undefined) {
      behind.push(held);
      this.#behindCount += 1;
      return;
    }
    if (key !== undefined) this.#behind.set(key, []);
    this.#ready.push(held);
    this.handOut();
  }

  /** To be called when {@link HandOutRules.mayBegin} may have become true. */
  handOut(): void {
    while (!this.#noMore.aborted && this.#ready.length > 0 && this.#rules.mayBegin(this.#underWay)) {
      const { batch } = this.#rules;
      const isFull = batch === undefined || this.#ready.length >= batch.maxEvents;
      if (!isFull && !this.#batchIsDue && batch.maxWaitMs > 0) {
        this.#letBatchGrow(batch.maxWaitMs);
        return;
      }
      this.#batchTimer?.abort(new Error("the batch is full"));
      this.#batchTimer = undefined;
      this.#batchIsDue = false;
      void this.#call(this.#ready.splice(0, batch?.maxEvents ?? 1));
    }
  }

  /** May be called again, with less patience. As `BrokerSubscription.close` has it. */
  async close(patienceMs: number): Promise<void> {
    this.#noMore.abort(new Error("the subscription is closed"));
    if (this.#underWay === 0) this.#isOver.set();
    if (patienceMs <= 0) this.#isOver.set();
    const patience = new CallAbort();
    const outOfPatience = this.#rules.clock.sleep(patienceMs, patience).catch(() => undefined);
    await Promise.race([this.#isOver.reached, outOfPatience]);
    patience.abort(new Error("nobody waits any more"));
    this.#isOver.set();
    if (this.#underWay > 0) this.#force.abort(new Error("the subscription was closed before the event was done"));
  }

  /** What is left when it is closed; it is here no more. */
  takeUndone(): Undone[] {
    const undone = [...this.#held].map(({ event, isUnderWay }) => ({ event, wasHandedOut: isUnderWay }));
    this.#held.clear();
    return undone;
  }

  #letBatchGrow(ms: number): void {
    if (this.#batchTimer !== undefined) return;
    const timer = new CallAbort();
    this.#batchTimer = timer;
    this.#rules.clock.sleep(ms, timer).then(
      () => {
        this.#batchTimer = undefined;
        this.#batchIsDue = true;
        this.handOut();
      },
      () => undefined,
    );
  }

  async #call(batch: readonly Held[]): Promise<void> {
    this.#underWay += 1;
    for (const held of batch) held.isUnderWay = true;
    const verdicts = await this.#verdicts(batch);
    this.#underWay -= 1;
    // By force: somebody else has been told already that these are undone.
    if (this.#force.aborted) return;
    for (const [at, held] of batch.entries()) {
      held.isUnderWay = false;
      if (verdicts[at] === "done") this.#settle(held);
      else this.#letWait(held);
    }
    if (this.#noMore.aborted && this.#underWay === 0) this.#isOver.set();
    this.handOut();
  }

  async #verdicts(batch: readonly Held[]): Promise<readonly Verdict[]> {
    try {
      const events = batch.map(({ event }) => event);
      return await this.#rules.handle(events, this.#force);
    } catch {
      return [];
    }
  }

  #settle(held: Held): void {
    this.#held.delete(held);
    this.#next(held.key);
    this.#rules.onDone(held.event);
  }

  #next(key: string | undefined): void {
    if (key === undefined) return;
    const next = this.#behind.get(key)?.shift();
    if (next === undefined) {
      this.#behind.delete(key);
      return;
    }
    this.#behindCount -= 1;
    this.#ready.push(next);
  }

  #letWait(held: Held): void {
    const { clock } = this.#rules;
    held.failures += 1;
    if (held.key === undefined && !this.#rules.mayKeep(held.event, this.#waiting)) {
      this.#held.delete(held);
      return;
    }
    const { attempt } = held.event;
    if (attempt !== undefined) held.event = { ...held.event, attempt: attempt + 1 };
    if (this.#noMore.aborted) return;
    this.#waiting += 1;
    clock.sleep(this.#rules.pauseMs(held.failures), this.#noMore).then(
      () => {
        this.#waiting -= 1;
        this.#ready.push(held);
        this.handOut();
      },
      () => undefined,
    );
  }
}

/** Happens once. */
class Over {
  set: () => void = () => undefined;
  readonly reached = new Promise<void>((resolve) => {
    this.set = resolve;
  });
}
