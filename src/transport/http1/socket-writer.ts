import type { Socket } from "node:net";

// Whose text waits for the end of the turn, in the order in which they began to wait.
let waiting: SocketWriter[] = [];

function flushAll(): void {
  const writers = waiting;
  waiting = [];
  for (const writer of writers) writer.flushOrDestroy();
}

// More than this does not wait: it is a write of its own worth.
const MAX_WAITING_CHARACTERS = 16 * 1024;

/**
 * The writes onto one socket. Short ones wait until the event loop has read all that has arrived, and then go out one
 * after the other, for all sockets of the process.
 *
 * Writing is most of what a call costs, and most of a write is waking up who reads. Of writes in a row only the first has
 * to: the reader finds the rest while it is awake. One at a time, with the handling of a call between them, each wakes it.
 */
export class SocketWriter {
  readonly #socket: Socket;
  /** In latin1, as heads and short bodies are put together. */
  #text = "";

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Something has not been given to the socket yet. */
  get isWaiting(): boolean {
    return this.#text !== "";
  }

  /** @returns false where the socket has enough: it says `drain` when it takes more. */
  writeSoon(text: string): boolean {
    if (this.#text === "") {
      if (waiting.length === 0) setImmediate(flushAll);
      waiting.push(this);
    }
    this.#text += text;
    if (this.#text.length > MAX_WAITING_CHARACTERS) this.flush();
    return !this.#socket.writableNeedDrain;
  }

  /** The socket, for writes that cannot wait: what waited has been written. */
  now(): Socket {
    this.flush();
    return this.#socket;
  }

  /** Nothing waits any more. What cannot be written, because the socket is gone, is lost with it. */
  flush(): void {
    const text = this.#text;
    if (text === "") return;
    this.#text = "";
    if (this.#socket.writable) this.#socket.write(text, "latin1");
  }

  /** As `flush`; where the write throws, only this socket is lost, and not what waits for others. */
  flushOrDestroy(): void {
    try {
      this.flush();
    } catch {
      this.#socket.destroy();
    }
  }
}
