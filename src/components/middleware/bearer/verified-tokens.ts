import { createHash } from "node:crypto";

/** Tokens that have been verified, until they expire: a signature costs more than the rest of a hop. Holds none of them. */
export class VerifiedTokens {
  readonly #max: number;
  /** Digest of a token to the millisecond of the epoch at which it expires; the one used last is the last. */
  readonly #until = new Map<string, number>();

  constructor(max: number) {
    this.#max = max;
  }

  has(token: string, now: number): boolean {
    const digest = digestOf(token);
    const until = this.#until.get(digest);
    if (until === undefined) return false;
    this.#until.delete(digest);
    if (until <= now) return false;
    this.#until.set(digest, until);
    return true;
  }

  add(token: string, until: number): void {
    if (this.#until.size >= this.#max) {
      for (const oldest of this.#until.keys()) {
        this.#until.delete(oldest);
        break;
      }
    }
    this.#until.set(digestOf(token), until);
  }

  clear(): void {
    this.#until.clear();
  }
}

function digestOf(token: string): string {
  return createHash("sha256").update(token).digest("base64");
}
