import type { Body } from "../../../core/message.ts";

const DEFAULT_MAX_BYTES = 4 * 1024 * 1024;

/**
 * All of a body, for modules that look at it. A stream has been read then: pass the bytes on in its place.
 *
 * @param maxBytes how much there may be of it, by default 4 MiB.
 * @throws {Error} where it is longer, or breaks; a stream is destroyed then.
 */
export async function readBody(body: Body, maxBytes: number = DEFAULT_MAX_BYTES): Promise<Buffer> {
  if (body === undefined) return Buffer.alloc(0);
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of body instanceof Uint8Array ? [body] : (body as AsyncIterable<Buffer>)) {
    bytes += piece.byteLength;
    if (bytes > maxBytes) throw new Error(`the body has more than ${maxBytes} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
