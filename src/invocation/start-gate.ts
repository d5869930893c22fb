import { abortReason, CallAbort, type CallSignal } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";

/**
 * Holds the first calls to an app that is just being started, instead of failing them: apps that start together call
 * each other before all of them listen. Opens once and stays open.
 */
export class StartGate {
  /** No real signal: that one warns of more than ten who wait. */
  readonly #opened = new CallAbort();
  readonly #clock: Clock;
  readonly #patienceMs: number;

  /** @param patienceMs how long a call waits; after that it is let through, and fails or not as the app will have it. */
  constructor(clock: Clock, patienceMs: number) {
    this.#clock = clock;
    this.#patienceMs = patienceMs;
    if (patienceMs <= 0) this.open();
  }

  open(): void {
    this.#opened.abort(new Error("the gate is open"));
  }

  get isOpen(): boolean {
    return this.#opened.aborted;
  }

  /** @throws the signal's reason when it fires first. */
  async pass(signal: CallSignal): Promise<void> {
    if (this.isOpen) return;
    const waiting = new CallAbort();
    const end = {
      handleEvent: () => {
        waiting.abort(new Error("the wait is over"));
      },
    };
    const ends: readonly CallSignal[] = [this.#opened, signal];
    for (const each of ends) each.addEventListener("abort", end);
    if (signal.aborted) end.handleEvent();
    try {
      await this.#clock.sleep(this.#patienceMs, waiting);
    } catch {
      if (signal.aborted) throw abortReason(signal);
    } finally {
      for (const each of ends) each.removeEventListener("abort", end);
    }
  }
}
