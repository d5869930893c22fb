import type { Socket } from "node:net";

/** What a client that knows beforehand that HTTP/2 is spoken sends first. RFC 9113 3.4 */
export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** @returns undefined where the bytes are its beginning, and too few to tell. */
export function isHttp2Preface(bytes: Buffer): boolean | undefined {
  const length = Math.min(bytes.length, PREFACE.length);
  if (bytes.compare(PREFACE, 0, length, 0, length) !== 0) return false;
  return length === PREFACE.length ? true : undefined;
}

/**
 * Takes as much of a connection as `isEnough` asks for. The connection is paused when `tell` is called, which it is once,
 * or never where the connection breaks before.
 */
export function readBeginning(
  socket: Socket,
  patienceMs: number,
  isEnough: (read: Buffer) => boolean,
  tell: (read: Buffer | "late" | "ended") => void,
): void {
  let read: Buffer = Buffer.alloc(0);
  const decide = (beginning: Buffer | "late" | "ended"): void => {
    forget();
    socket.pause();
    tell(beginning);
  };
  const onData = (bytes: Buffer): void => {
    read = Buffer.concat([read, bytes]);
    if (isEnough(read)) decide(read);
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

/** How a connection begins, or that its first bytes did not come in time, or not at all. */
export type Beginning = "http/2" | "other" | "late" | "ended";

/**
 * Reads as much of a connection as tells how it begins, and puts it back. The connection is paused when `tell` is called,
 * which it is once, or never where the connection breaks before.
 */
export function peekAtPreface(socket: Socket, patienceMs: number, tell: (beginning: Beginning) => void): void {
  const isEnough = (read: Buffer): boolean => isHttp2Preface(read) !== undefined;
  readBeginning(socket, patienceMs, isEnough, (read) => {
    if (typeof read === "string") {
      tell(read);
      return;
    }
    socket.unshift(read);
    tell(isHttp2Preface(read) === true ? "http/2" : "other");
  });
}
