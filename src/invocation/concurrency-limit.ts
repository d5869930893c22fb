import { type AbortListener, abortReason, type CallSignal } from "../core/call-signal.ts";
import { CallError } from "../core/errors.ts";

/**
 * Slots for calls to one app (`--app-max-concurrency`), handed out in the order they were asked for; further calls wait,
 * no more than `--app-max-queue` of them.
 */
export class ConcurrencyLimit {
  readonly #max: number;
  readonly #maxWaiting: number;
  readonly #waiting = new WaitingLine();
  #taken = 0;

  /**
   * @param max slots; 0 or less means no limit, as in daprd.
   * @param maxWaiting calls that may wait for a slot.
   */
  constructor(max: number, maxWaiting: number) {
    this.#max = max <= 0 ? Number.MAX_SAFE_INTEGER : max;
    this.#maxWaiting = maxWaiting;
  }

  /**
   * Takes a slot. Whoever has one gives it back once, by `release`.
   *
   * @returns undefined where one was free, else what resolves when its turn has come. That rejects with {CallError}
   *   ResourceExhausted where too many wait already, with the signal's reason when it fires meanwhile, and as
   *   {@link turnAway} says.
   */
  acquire(signal: CallSignal): Promise<void> | undefined {
    if (this.#taken < this.#max) {
      this.#taken++;
      return undefined;
    }
    if (signal.aborted) return Promise.reject(abortReason(signal));
    if (this.#waiting.length >= this.#maxWaiting) return Promise.reject(this.#full());
    return new Promise((resolve, reject) => {
      this.#waiting.push(new Waiting(this.#waiting, signal, resolve, reject));
    });
  }

  /** Gives a slot back. */
  release(): void {
    // It passes straight to who waits, so that nobody can slip in between.
    const next = this.#waiting.first;
    if (next === undefined) this.#taken--;
    else next.admit();
  }

  /** Ends the wait of all who wait now: their turn fails with `error`. */
  turnAway(error: Error): void {
    for (let next = this.#waiting.first; next !== undefined; next = this.#waiting.first) next.refuse(error);
  }

  #full(): CallError {
    return new CallError(
      "ResourceExhausted",
      `the app has as many calls as --app-max-concurrency allows (${this.#max}), and as many wait as --app-max-queue allows (${this.#maxWaiting}); call again later`,
      { nothingSent: true },
    );
  }
}

/** A doubly linked list, so that whoever leaves from its middle costs the others nothing. */
class WaitingLine {
  first: Waiting | undefined;
  #last: Waiting | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(waiting: Waiting): void {
    waiting.before = this.#last;
    if (this.#last === undefined) this.first = waiting;
    else this.#last.behind = waiting;
    this.#last = waiting;
    this.#length++;
  }

  /** @param waiting stands in this line. */
  remove({ before, behind }: Waiting): void {
    if (before === undefined) this.first = behind;
    else before.behind = behind;
    if (behind === undefined) this.#last = before;
    else behind.before = before;
    this.#length--;
  }
}

/** A call's place in the line, from being made until one of `admit`, `refuse` and its signal ends it. */
class Waiting implements AbortListener {
  before: Waiting | undefined;
  behind: Waiting | undefined;
  readonly #line: WaitingLine;
  readonly #signal: CallSignal;
  readonly #resolve: () => void;
  readonly #reject: (error: Error) => void;

  constructor(line: WaitingLine, signal: CallSignal, resolve: () => void, reject: (error: Error) => void) {
    this.#line = line;
    this.#signal = signal;
    this.#resolve = resolve;
    this.#reject = reject;
    signal.addEventListener("abort", this);
  }

  admit(): void {
    this.#leave();
    this.#resolve();
  }

  refuse(error: Error): void {
    this.#leave();
    this.#reject(error);
  }

  handleEvent(): void {
    this.refuse(abortReason(this.#signal));
  }

  #leave(): void {
    this.#signal.removeEventListener("abort", this);
    this.#line.remove(this);
  }
}
