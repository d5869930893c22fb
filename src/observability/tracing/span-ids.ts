import { randomBytes } from "node:crypto";

// One call for many ids: each costs more than the id does.
const POOL_BYTES = 4096;
const NO_TRACE = "0".repeat(32);

/** Random ids of traces and spans, never all zeros. */
export class SpanIds {
  /** Hex digits. */
  #pool = "";
  #used = 0;

  /** 32 hex digits. */
  traceId(): string {
    return this.#take(32);
  }

  /** 16 hex digits. */
  spanId(): string {
    return this.#take(16);
  }

  #take(digits: number): string {
    for (;;) {
      if (this.#used + digits > this.#pool.length) {
        this.#pool = randomBytes(POOL_BYTES).toString("hex");
        this.#used = 0;
      }
      const id = this.#pool.slice(this.#used, this.#used + digits);
      this.#used += digits;
      if (!NO_TRACE.startsWith(id)) return id;
    }
  }
}
