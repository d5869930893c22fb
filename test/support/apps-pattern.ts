import { createHash } from "node:crypto";

/** The bytes of test/fixtures/apps (README.md there): a piece that is lost, repeated or moved shows. */

const BLOCK = Buffer.from(Array.from({ length: 65_521 }, (_, k) => (7 * k + 13 * (k >> 8)) & 0xff));

export function* pattern(bytes: number): Generator<Buffer> {
  for (let sent = 0; sent < bytes; sent += BLOCK.length) yield BLOCK.subarray(0, Math.min(BLOCK.length, bytes - sent));
}

const known = new Map<number, string>();

export function sha256OfPattern(bytes: number): string {
  let sha256 = known.get(bytes);
  if (sha256 === undefined) {
    const hash = createHash("sha256");
    for (const chunk of pattern(bytes)) hash.update(chunk);
    sha256 = hash.digest("hex");
    known.set(bytes, sha256);
  }
  return sha256;
}
