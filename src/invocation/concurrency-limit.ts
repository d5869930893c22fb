import { abortReason, type CallSignal } from "../core/call-signal.ts";

/** Slots for calls to one app (`--app-max-concurrency`), handed out in the order they were asked for. */
export class ConcurrencyLimit {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  /** @param max slots; 0 or less means no limit, as in daprd. */
  constructor(max: number) {
    this.#free = max <= 0 ? Number.POSITIVE_INFINITY : max;
  }

  /**
   * Takes a slot, waiting for one if need be. The returned function gives it back; calling it again does nothing.
   *
   * @throws the signal's reason when it fires while waiting.
   */
  async acquire(signal: CallSignal): Promise<() => void> {
    if (this.#free > 0) this.#free--;
    else await this.#turn(signal);
    let released = false;
    return () => {
      if (released) return;
      released = true;
      this.#release();
    };
  }

  #turn(signal: CallSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const admit = (): void => {
        signal.removeEventListener("abort", listener);
        resolve();
      };
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(admit), 1);
        reject(abortReason(signal));
      };
      if (signal.aborted) {
        reject(abortReason(signal));
        return;
      }
      const listener = { handleEvent: leave };
      signal.addEventListener("abort", listener);
      this.#waiting.push(admit);
    });
  }

  #release(): void {
    // A slot passes straight to who waits, so that nobody can slip in between.
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}
