// Bytes that the app and the load generator both know, so that each side checks what the other sent.

/** A mebibyte that does not repeat within itself; longer bodies repeat it. */
export const PATTERN = Buffer.alloc(1024 * 1024);
let state = 20_251_121;
for (let at = 0; at < PATTERN.length; at += 4) {
  // A linear congruential generator (Numerical Recipes): the same bytes in every process, and nothing to compress.
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  PATTERN.writeUInt32LE(state, at);
}

/** 20 bytes. */
export const JSON_ANSWER = '{"hello":"sidecars"}';

/** What the app answers to an upload that arrived whole. */
export function receipt(bytes) {
  return `{"received":${bytes}}`;
}

/** Holds a body, piece by piece, against `expected`, which is repeated as often as it takes. */
export class BodyCheck {
  #at = 0;
  #expected;

  constructor(expected) {
    this.#expected = expected;
  }

  get bytes() {
    return this.#at;
  }

  /** @returns {boolean} whether `buffer` from `start` to `end` is what comes next. */
  take(buffer, start = 0, end = buffer.length) {
    const expected = this.#expected;
    while (start < end) {
      const from = this.#at % expected.length;
      const count = Math.min(end - start, expected.length - from);
      if (expected.compare(buffer, start, start + count, from, from + count) !== 0) return false;
      this.#at += count;
      start += count;
    }
    return true;
  }

  reset() {
    this.#at = 0;
  }
}
