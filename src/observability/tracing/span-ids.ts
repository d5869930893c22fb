import { randomFillSync } from "node:crypto";

// One call for many ids: each costs more than the id does.
const POOL_BYTES = 4096;

/** Random ids of traces and spans, never all zeros. */
export class SpanIds {
  readonly #pool = Buffer.alloc(POOL_BYTES);
  #used = POOL_BYTES;

  /** 32 hex digits. */
  traceId(): string {
    return this.#take(16);
  }

  /** 16 hex digits. */
  spanId(): string {
    return this.#take(8);
  }

  #take(bytes: number): string {
    for (;;) {
      if (this.#used + bytes > POOL_BYTES) {
        randomFillSync(this.#pool);
        this.#used = 0;
      }
      const id = this.#pool.toString("hex", this.#used, this.#used + bytes);
      this.#used += bytes;
      if (!/^0+$/.test(id)) return id;
    }
  }
}
