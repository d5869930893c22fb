import type { CallSignal } from "./call-signal.ts";

/** What one timer of Node's can hold, about 24 days; for a longer wait it takes none at all. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Time as a value that is passed in, so that rules about time are tested without waiting. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds from an arbitrary start; never goes back. */
  monotonic(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it fires first. */
  sleep(ms: number, signal?: CallSignal): Promise<void>;
}
