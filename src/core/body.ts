import type { Body } from "./message.ts";

/** What was asked for is not wanted any more. */
export function discard(body: Body): void {
  if (body !== undefined && !(body instanceof Uint8Array)) body.destroy();
}

/** Whoever has the body has read it to its end, or given it up. @param done called once, at once where nothing is left to read. */
export function whenUsedUp(body: Body, done: () => void): void {
  if (body === undefined || body instanceof Uint8Array || body.closed) done();
  else body.once("close", done);
}
