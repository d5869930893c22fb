import { createHash, timingSafeEqual } from "node:crypto";

/** Tokens that open a door. Two are valid at once while one is being rotated (design.md). */
export class ApiTokens {
  readonly #digests: readonly Buffer[];

  /** Undefined and empty tokens are left out. With none left, the door is open. */
  constructor(tokens: readonly (string | undefined)[]) {
    this.#digests = tokens.filter((token) => token !== undefined && token !== "").map(digest);
  }

  get required(): boolean {
    return this.#digests.length > 0;
  }

  /** Takes the same time whatever `offered` is, so that it cannot be guessed byte by byte. */
  accept(offered: string | undefined): boolean {
    const offeredDigest = digest(offered ?? "");
    // No short cut: every token is compared, and digests have one length.
    return this.#digests.filter((known) => timingSafeEqual(known, offeredDigest)).length > 0;
  }
}

function digest(token: string | undefined): Buffer {
  return createHash("sha256")
    .update(token ?? "")
    .digest();
}
