import { CallAbort } from "../../../core/call-signal.ts";
import type { IncomingEvent, SubscribeOptions, Verdict } from "../../contract/pubsub.ts";
import type { GroupRow } from "./event-log.ts";
import type { Claim, Outcome } from "./group-state.ts";
import { groupKey } from "./keys.ts";

/** A claim, and the event that it is for. */
export interface Handed {
  readonly claim: Claim;
  readonly session: number;
  readonly event: IncomingEvent;
}

/** What a subscription needs from the store. */
export interface ConsumerPorts {
  /** To be written with the next transaction. */
  settle(consumer: Consumer, handed: Handed, outcome: Outcome): void;
  /** There may be something to claim for it. */
  wantsMore(): void;
}

interface AtWork {
  readonly handed: readonly Handed[];
  readonly abort: CallAbort;
  readonly over: Promise<void>;
}

/** One subscription: how many events it can take, and what its handler says of them. */
export class Consumer {
  readonly options: SubscribeOptions;
  readonly row: GroupRow;
  readonly group: Buffer;
  /** One event in flight in the whole group. */
  readonly isOrdered: boolean;
  readonly #concurrency: number;
  readonly #ports: ConsumerPorts;
  readonly #atWork = new Set<AtWork>();
  #forming: Handed[] = [];
  #formingEnds: NodeJS.Timeout | undefined;
  #isOpen = true;

  constructor(options: SubscribeOptions, row: GroupRow, concurrency: number, ports: ConsumerPorts) {
    this.options = options;
    this.row = row;
    this.group = groupKey(row.topicId, row.groupId);
    this.isOrdered = concurrency === 1;
    this.#concurrency = concurrency;
    this.#ports = ports;
  }

  /** How many events it takes now. */
  get room(): number {
    if (!this.#isOpen) return 0;
    const { batch, keyOf } = this.options;
    const calls = this.#concurrency - this.#atWork.size;
    if (batch === undefined || calls <= 0) return Math.max(0, calls);
    // In order and by keys, the next event's key may be that of the one before it.
    const most = this.isOrdered && keyOf !== undefined ? 1 : batch.maxEvents;
    return Math.max(0, most - this.#forming.length);
  }

  /** Events that wait for others, to be handed out with them. */
  get forming(): number {
    return this.#forming.length;
  }

  /** Events that it has claimed and that are not settled yet. */
  get held(): number {
    let held = this.#forming.length;
    for (const { handed } of this.#atWork) held += handed.length;
    return held;
  }

  take(handed: readonly Handed[]): void {
    if (!this.#isOpen) {
      this.#giveBack(handed);
      return;
    }
    const { batch } = this.options;
    if (batch === undefined) {
      for (const one of handed) this.#start([one]);
      return;
    }
    if (handed.length === 0) return;
    this.#forming.push(...handed);
    if (this.room === 0 || batch.maxWaitMs <= 0) {
      this.#startFormed();
      return;
    }
    this.#formingEnds ??= setTimeout(() => {
      this.#startFormed();
    }, batch.maxWaitMs);
  }

  /** Resolves once its handler has ended or `patienceMs` are over, and the store has been told of all its events. */
  async close(patienceMs: number): Promise<void> {
    this.#isOpen = false;
    clearTimeout(this.#formingEnds);
    this.#giveBack(this.#forming.splice(0));
    if (this.#atWork.size === 0) return;
    let patience: NodeJS.Timeout | undefined;
    const ended = Promise.all([...this.#atWork].map(({ over }) => over));
    await Promise.race([ended, new Promise((resolve) => (patience = setTimeout(resolve, patienceMs)))]);
    clearTimeout(patience);
    for (const work of this.#atWork) {
      this.#atWork.delete(work);
      for (const one of work.handed) this.#ports.settle(this, one, "released");
      work.abort.abort(new Error("the subscription is being closed"));
    }
  }

  #giveBack(handed: readonly Handed[]): void {
    for (const one of handed) this.#ports.settle(this, one, "unseen");
  }

  #startFormed(): void {
    clearTimeout(this.#formingEnds);
    this.#formingEnds = undefined;
    this.#start(this.#forming.splice(0));
    this.#ports.wantsMore();
  }

  #start(handed: readonly Handed[]): void {
    if (handed.length === 0) return;
    const abort = new CallAbort();
    const verdicts = this.#verdictsOf(handed, abort);
    const over = verdicts.then((said) => {
      // Given up meanwhile: the store has been told already.
      if (!this.#atWork.delete(work)) return;
      handed.forEach((one, at) => {
        this.#ports.settle(this, one, said[at] ?? "again");
      });
    });
    const work: AtWork = { handed, abort, over };
    this.#atWork.add(work);
  }

  async #verdictsOf(handed: readonly Handed[], abort: CallAbort): Promise<readonly Verdict[]> {
    try {
      const events = handed.map(({ event }) => event);
      return await this.options.handle(events, abort);
    } catch {
      // Handlers do not reject; one that does has not done its work.
      return [];
    }
  }
}
