import { Socket } from "node:net";
import type { Duplex } from "node:stream";

// A far side that has vanished without a word is noticed by the kernel; one that is merely quiet is left alone for ever.
const PROBE_AFTER_MS = 30_000;

/**
 * Makes two connections one: what comes from either goes to the other, at the pace of the slower, until both have ended.
 * The end of a half is carried and leaves the other half open. Where one breaks, so does the other; a reset is carried as one.
 */
export function joinConnections(near: Duplex, far: Duplex): void {
  carry(near, far);
  carry(far, near);
}

function carry(from: Duplex, to: Duplex): void {
  // `close` follows, and tells the other side.
  from.on("error", ignore);
  if (from instanceof Socket) from.setTimeout(0).setKeepAlive(true, PROBE_AFTER_MS);
  const closed = (): void => {
    if (!from.readableEnded || !from.writableFinished) breakOff(to, from.errored !== null);
  };
  if (from.closed) closed();
  else from.once("close", closed);
  from.pipe(to);
}

function breakOff(to: Duplex, isReset: boolean): void {
  try {
    if (isReset && to instanceof Socket) to.resetAndDestroy();
  } catch {
    // A Unix socket knows no reset.
  }
  to.destroy();
}

function ignore(): void {
  // Intentionally nothing.
}
