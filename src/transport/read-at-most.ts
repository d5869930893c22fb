import type { Body } from "../core/message.ts";

/** The beginning of a body as text, for error messages; the rest is thrown away unread. */
export async function readAtMost(body: Body, maxBytes: number): Promise<string> {
  if (body === undefined) return "";
  if (body instanceof Uint8Array) return Buffer.from(body).subarray(0, maxBytes).toString("utf8");
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    // Leaving the loop destroys the stream.
    if (size >= maxBytes) break;
  }
  return Buffer.concat(chunks).subarray(0, maxBytes).toString("utf8");
}
