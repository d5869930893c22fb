import { type AbortListener, abortReason, type CallSignal } from "../../src/core/call-signal.ts";
import type { Clock } from "../../src/core/clock.ts";

interface Sleeper {
  readonly until: number;
  readonly wake: () => void;
}

/** Time stands still unless a test moves it. */
export class ManualClock implements Clock {
  #ms = 1_700_000_000_000;
  readonly #sleepers = new Set<Sleeper>();

  /** How many are waiting for time to pass. */
  get sleeping(): number {
    return this.#sleepers.size;
  }

  advance(ms: number): void {
    this.#ms += ms;
    for (const sleeper of this.#sleepers) if (sleeper.until <= this.#ms) sleeper.wake();
  }

  now(): number {
    return this.#ms;
  }

  monotonic(): number {
    return this.#ms;
  }

  sleep(ms: number, signal?: CallSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave: AbortListener = {
        handleEvent: () => {
          this.#sleepers.delete(sleeper);
          if (signal !== undefined) reject(abortReason(signal));
        },
      };
      const sleeper: Sleeper = {
        until: this.#ms + ms,
        wake: () => {
          this.#sleepers.delete(sleeper);
          signal?.removeEventListener("abort", leave);
          resolve();
        },
      };
      this.#sleepers.add(sleeper);
      if (signal?.aborted === true) leave.handleEvent();
      else signal?.addEventListener("abort", leave);
    });
  }
}
