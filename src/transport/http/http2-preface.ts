import type { Socket } from "node:net";

/** What a client that knows beforehand that HTTP/2 is spoken sends first. RFC 9113 3.4 */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** @returns undefined where the bytes are its beginning, and too few to tell. */
export function isHttp2Preface(bytes: Buffer): boolean | undefined {
  const length = Math.min(bytes.length, PREFACE.length);
  if (bytes.compare(PREFACE, 0, length, 0, length) !== 0) return false;
  return length === PREFACE.length ? true : undefined;
}

/** How a connection begins, or that its first bytes did not come in time, or not at all. */
export type Beginning = "http/2" | "other" | "late" | "ended";

/**
 * Reads as much of a connection as tells how it begins, and puts it back. The connection is paused when `tell` is called,
 * which it is once, or never where the connection breaks before.
 */
export function peekAtPreface(socket: Socket, patienceMs: number, tell: (beginning: Beginning) => void): void {
  let read: Buffer = Buffer.alloc(0);
  const decide = (beginning: Beginning): void => {
    forget();
    socket.pause();
    if (beginning === "http/2" || beginning === "other") socket.unshift(read);
    tell(beginning);
  };
  const onData = (bytes: Buffer): void => {
    read = Buffer.concat([read, bytes]);
    const answer = isHttp2Preface(read);
    if (answer !== undefined) decide(answer ? "http/2" : "other");
  };
  const onEnd = (): void => {
    decide("ended");
  };
  const forget = (): void => {
    clearTimeout(timer);
    socket.off("data", onData).off("end", onEnd).off("close", forget);
  };
  const timer = setTimeout(() => {
    decide("late");
  }, patienceMs);
  socket.on("data", onData).on("end", onEnd).on("close", forget);
}
