import { type AbortListener, abortReason, CallAbort, type CallSignal } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";
import type { RetrySpec } from "../resources/resiliency-spec.ts";
import { pauseBefore } from "./backoff.ts";
import { type FailureCode, matches } from "./matching.ts";
import type { CallPolicy } from "./resiliency-policies.ts";

export interface Failure {
  readonly code: FailureCode | undefined;
  /** How long whoever failed asks to be left alone, in milliseconds; undefined where it does not ask. */
  readonly retryAfterMs?: number | undefined;
  /** What failed had not begun: whoever was asked has got nothing. */
  readonly nothingSent?: boolean;
  /** Whoever was asked could not be reached, or went away before it answered. */
  readonly isUnavailable?: boolean;
}

/** Work that a policy is for. What makes a failure, and what may be done again, is known to who hands it in. */
export interface PolicedWork<Result> {
  readonly policy: CallPolicy;
  readonly clock: Clock;
  /** Fires when nobody waits for the result any more. */
  readonly signal: CallSignal;
  /** Between 0 and 1. */
  readonly random: () => number;
  /** @param signal fires as the work's does, and when the time for one try is over. */
  attempt(signal: CallSignal): Promise<Result>;
  /** What is wrong with a result that is one; undefined where nothing is. */
  failureIn(result: Result): Failure | undefined;
  failureOf(error: unknown): Failure;
  /** Whether the work can be done once more. */
  mayRepeat(failure: Failure): boolean;
  /** A result that is not given out, because another try follows. */
  discard(result: Result): void;
  /** Calls `done` once a result has been used up: until then its time runs. Absent where a result is all that there is. */
  whenUsed?(result: Result, done: () => void): void;
  /** Told before the pause of each retry; the first has the number 1. */
  onRetry?(retry: number, pauseMs: number): void;
}

/** A try took longer than its policy allows. */
export class TimedOut extends Error {
  override readonly name = "TimedOut";
  readonly grpcCode = "DEADLINE_EXCEEDED";

  constructor(readonly timeoutMs: number) {
    super(`context deadline exceeded: no answer within the timeout of its resiliency policy, ${timeoutMs} ms`);
  }
}

/**
 * Does work under a policy: each try has its timeout and passes the circuit breaker; the retry policy is around both (A3).
 * A result that is a failure is given out as it is where no try is left.
 *
 * @throws what the last try threw; {CircuitOpen}, which is never tried again; the signal's reason.
 */
export async function runWithPolicy<Result>(work: PolicedWork<Result>): Promise<Result> {
  const { breaker, retry } = work.policy;
  for (let retries = 0; ; retries++) {
    const ticket = breaker?.enter();
    const outcome = await tryOnce(work);
    ticket?.(outcome.failure === undefined);
    const { failure } = outcome;
    const pauseMs = failure === undefined || retry === undefined ? undefined : pauseFor(work, retry, failure, retries);
    if (pauseMs === undefined) {
      if ("result" in outcome) return outcome.result;
      throw outcome.error;
    }
    if ("result" in outcome) {
      work.discard(outcome.result);
      outcome.forget();
    }
    work.policy.onActivated?.("retry");
    work.onRetry?.(retries + 1, pauseMs);
    await work.clock.sleep(pauseMs, work.signal);
  }
}

type Outcome<Result> =
  | { readonly result: Result; readonly failure: Failure | undefined; forget(): void }
  | { readonly error: unknown; readonly failure: Failure };

async function tryOnce<Result>(work: PolicedWork<Result>): Promise<Outcome<Result>> {
  const { timeoutMs } = work.policy;
  const timed = timeoutMs === undefined ? undefined : new TimedSignal(work.signal, timeoutMs, work.clock);
  try {
    const result = await work.attempt(timed?.signal ?? work.signal);
    if (timed !== undefined) {
      if (work.whenUsed === undefined) timed.end();
      else work.whenUsed(result, timed.stop);
    }
    return { result, failure: work.failureIn(result), forget: () => timed?.end() };
  } catch (error) {
    timed?.end();
    if (timed?.signal.reason instanceof TimedOut) work.policy.onActivated?.("timeout");
    return { error, failure: work.failureOf(error) };
  }
}

/** Undefined where the work is not done again. */
function pauseFor<Result>(
  work: PolicedWork<Result>,
  retry: RetrySpec,
  failure: Failure,
  retries: number,
): number | undefined {
  if (retries >= retry.maxRetries || work.signal.aborted) return undefined;
  if (!matches(retry, failure.code) || !work.mayRepeat(failure)) return undefined;
  const pauseMs = pauseBefore(retries, retry, work.random);
  const { retryAfterMs = 0 } = failure;
  // Sooner would be against its word, later against the policy.
  return retryAfterMs > Math.max(pauseMs, retry.maxIntervalMs) ? undefined : Math.max(pauseMs, retryAfterMs);
}

/** Fires as another does, and after a time. */
class TimedSignal implements AbortListener {
  readonly signal = new CallAbort();
  readonly #outer: CallSignal;
  readonly #ended = new CallAbort();

  constructor(outer: CallSignal, timeoutMs: number, clock: Clock) {
    this.#outer = outer;
    outer.addEventListener("abort", this);
    if (outer.aborted) this.handleEvent();
    clock.sleep(timeoutMs, this.#ended).then(
      () => {
        this.signal.abort(new TimedOut(timeoutMs));
      },
      () => undefined,
    );
  }

  handleEvent(): void {
    this.signal.abort(abortReason(this.#outer));
  }

  /** There is no time any more. It fires as the other does for as long as that lives. */
  readonly stop = (): void => {
    this.#ended.abort(new Error("the try is over"));
  };

  end(): void {
    this.stop();
    this.#outer.removeEventListener("abort", this);
  }
}
