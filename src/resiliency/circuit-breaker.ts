import type { Clock } from "../core/clock.ts";

/** Counts of what went through a circuit breaker since it last began to count. */
export interface BreakerCounts {
  readonly requests: number;
  readonly totalSuccesses: number;
  readonly totalFailures: number;
  readonly consecutiveSuccesses: number;
  readonly consecutiveFailures: number;
}

export interface CircuitBreakerPolicy {
  /** How many may be tried while it is half open; as many successes close it. */
  readonly maxRequests: number;
  /** After which the counts of a closed one begin anew; 0: never. */
  readonly intervalMs: number;
  /** How long it stays open before it is half open. */
  readonly timeoutMs: number;
  /** Asked after each failure of a closed one. */
  readonly trips: (counts: BreakerCounts) => boolean;
}

export type BreakerState = "closed" | "half-open" | "open";

/** The call was not made: what it was for has failed too often of late. */
export class CircuitOpen extends Error {
  override readonly name = "CircuitOpen";
  /** What grpc-go makes of an error that is no status. */
  readonly grpcCode = "UNKNOWN";
  readonly nothingSent = true;

  constructor(readonly state: "open" | "half-open") {
    // As gobreaker says it, whose words reach daprd's callers.
    super(state === "open" ? "circuit breaker is open" : "too many requests");
  }
}

/** Ends what {@link CircuitBreaker.enter} began. */
export type BreakerTicket = (succeeded: boolean) => void;

const NONE: BreakerCounts = {
  requests: 0,
  totalSuccesses: 0,
  totalFailures: 0,
  consecutiveSuccesses: 0,
  consecutiveFailures: 0,
};

/**
 * Keeps calls away from what fails: closed, it lets all pass and counts; open, none; half open, a few, to see whether it
 * has recovered. The states and counts are those of gobreaker, which daprd uses.
 */
export class CircuitBreaker {
  readonly #policy: CircuitBreakerPolicy;
  readonly #clock: Clock;
  readonly #onChange: (to: BreakerState) => void;
  #state: BreakerState = "closed";
  #counts = NONE;
  /** Of the monotonic clock; undefined where the state lasts until something happens. */
  #until: number | undefined;
  /** What began in an earlier state says nothing of this one. */
  #generation = 0;

  constructor(policy: CircuitBreakerPolicy, clock: Clock, onChange: (to: BreakerState) => void = () => undefined) {
    this.#policy = policy;
    this.#clock = clock;
    this.#onChange = onChange;
    this.#begin("closed");
  }

  get state(): BreakerState {
    this.#passTime();
    return this.#state;
  }

  get counts(): BreakerCounts {
    this.#passTime();
    return this.#counts;
  }

  /** @returns what is to be told how it went, once. @throws {CircuitOpen} where the call is not to be made. */
  enter(): BreakerTicket {
    const { state } = this;
    if (state === "open") throw new CircuitOpen("open");
    if (state === "half-open" && this.#counts.requests >= this.#policy.maxRequests) throw new CircuitOpen("half-open");
    this.#counts = { ...this.#counts, requests: this.#counts.requests + 1 };
    const generation = this.#generation;
    return (succeeded) => {
      this.#passTime();
      if (generation !== this.#generation) return;
      if (succeeded) this.#succeeded();
      else this.#failed();
    };
  }

  #succeeded(): void {
    const { totalSuccesses, consecutiveSuccesses } = this.#counts;
    this.#counts = {
      ...this.#counts,
      totalSuccesses: totalSuccesses + 1,
      consecutiveSuccesses: consecutiveSuccesses + 1,
      consecutiveFailures: 0,
    };
    if (this.#state === "half-open" && this.#counts.consecutiveSuccesses >= this.#policy.maxRequests) {
      this.#change("closed");
    }
  }

  #failed(): void {
    if (this.#state === "half-open") {
      this.#change("open");
      return;
    }
    const { totalFailures, consecutiveFailures } = this.#counts;
    this.#counts = {
      ...this.#counts,
      totalFailures: totalFailures + 1,
      consecutiveFailures: consecutiveFailures + 1,
      consecutiveSuccesses: 0,
    };
    if (this.#policy.trips(this.#counts)) this.#change("open");
  }

  #passTime(): void {
    if (this.#until === undefined || this.#clock.monotonic() < this.#until) return;
    if (this.#state === "open") this.#change("half-open");
    else this.#begin("closed");
  }

  #change(to: BreakerState): void {
    this.#begin(to);
    this.#onChange(to);
  }

  #begin(state: BreakerState): void {
    const { intervalMs, timeoutMs } = this.#policy;
    const lasts = state === "open" ? timeoutMs : state === "closed" ? intervalMs : 0;
    this.#state = state;
    this.#counts = NONE;
    this.#generation++;
    this.#until = lasts === 0 ? undefined : this.#clock.monotonic() + lasts;
  }
}
