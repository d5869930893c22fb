import type { Clock } from "../../../core/clock.ts";

interface Bucket {
  tokens: number;
  /** When that was so, in milliseconds of the monotonic clock. */
  at: number;
}

export interface Taken {
  readonly isAllowed: boolean;
  /** Whole tokens that are left. */
  readonly left: number;
}

// Some megabytes at most.
const MAX_BUCKETS = 10_000;
const SWEEP_INTERVAL_MS = 60_000;
// Where there is no room: looking through all of them is not to become what a flood costs.
const FULL_SWEEP_INTERVAL_MS = 1000;

/** One bucket of tokens for each key, filled evenly up to what it holds (token bucket, as golang.org/x/time/rate). */
export class TokenBuckets {
  readonly #perSecond: number;
  readonly #size: number;
  readonly #clock: Clock;
  readonly #maxBuckets: number;
  readonly #buckets = new Map<string, Bucket>();
  /** Of all for whom there is no room. */
  readonly #shared: Bucket;
  #sweptAt: number;

  constructor(perSecond: number, clock: Clock, maxBuckets = MAX_BUCKETS) {
    this.#perSecond = perSecond;
    // As tollbooth has it: who may call seldom may still call.
    this.#size = Math.max(1, Math.trunc(perSecond));
    this.#clock = clock;
    this.#maxBuckets = maxBuckets;
    this.#sweptAt = clock.monotonic();
    this.#shared = { tokens: this.#size, at: this.#sweptAt };
  }

  /** How many buckets are kept. */
  get count(): number {
    return this.#buckets.size;
  }

  take(key: string): Taken {
    const now = this.#clock.monotonic();
    this.#sweep(now);
    const bucket = this.#bucketOf(key, now);
    bucket.tokens = this.#tokensOf(bucket, now);
    bucket.at = now;
    const isAllowed = bucket.tokens >= 1;
    if (isAllowed) bucket.tokens--;
    return { isAllowed, left: Math.trunc(bucket.tokens) };
  }

  #bucketOf(key: string, now: number): Bucket {
    const known = this.#buckets.get(key);
    if (known !== undefined) return known;
    if (this.#buckets.size >= this.#maxBuckets) return this.#shared;
    const bucket = { tokens: this.#size, at: now };
    this.#buckets.set(key, bucket);
    return bucket;
  }

  #tokensOf({ tokens, at }: Bucket, now: number): number {
    return Math.min(this.#size, tokens + ((now - at) / 1000) * this.#perSecond);
  }

  /** A bucket that is full again is the same as none. */
  #sweep(now: number): void {
    const isFull = this.#buckets.size >= this.#maxBuckets;
    if (now - this.#sweptAt < (isFull ? FULL_SWEEP_INTERVAL_MS : SWEEP_INTERVAL_MS)) return;
    this.#sweptAt = now;
    for (const [key, bucket] of this.#buckets) {
      if (this.#tokensOf(bucket, now) === this.#size) this.#buckets.delete(key);
    }
  }
}
