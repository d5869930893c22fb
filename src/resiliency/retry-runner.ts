import type { CallSignal } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";
import type { RetrySpec } from "../resources/resiliency-spec.ts";
import { pauseBefore } from "./backoff.ts";

export interface RetriedWork<T> {
  readonly policy: RetrySpec;
  /** Between 0 and 1. */
  readonly random: () => number;
  readonly clock: Clock;
  readonly signal: CallSignal;
  attempt(): Promise<T>;
  /** Asked after each failure; false ends the work with that failure. */
  mayRetry(error: unknown): boolean;
}

/** Raised when every try failed; `cause` is the last failure. */
export class RetriesExhausted extends Error {
  override readonly name = "RetriesExhausted";

  constructor(
    readonly retries: number,
    override readonly cause: unknown,
  ) {
    super(`failed after ${retries} retries`, { cause });
  }
}

/**
 * Runs `attempt` until it succeeds, may not be tried again, or the policy is used up.
 *
 * @throws what `attempt` threw, or {RetriesExhausted} where it might be tried again and the policy is used up, or the signal's reason.
 */
export async function runWithRetries<T>(work: RetriedWork<T>): Promise<T> {
  for (let retries = 0; ; retries++) {
    try {
      return await work.attempt();
    } catch (error) {
      if (!work.mayRetry(error)) throw error;
      if (retries === work.policy.maxRetries) throw new RetriesExhausted(retries, error);
      await work.clock.sleep(pauseBefore(retries, work.policy, work.random), work.signal);
    }
  }
}
