import type { Socket } from "node:net";

// More is left to the kernel, and so to the client; that one leaves is not noticed then.
const MAX_EARLY_BYTES = 64 * 1024;

/**
 * What a client sends behind its request for other protocols until that is answered. It is read, and kept apart: of a
 * connection that nobody reads, nobody hears that it has ended.
 */
export class EarlyBytes {
  readonly #socket: Socket;
  readonly #pieces: Buffer[] = [];
  #length = 0;

  /** @param unread of what has come, in front of what the socket has. */
  constructor(socket: Socket, unread: Buffer) {
    this.#socket = socket;
    socket.on("data", this.#keep).resume();
    if (unread.length > 0) this.#keep(unread);
  }

  /** What has come, in order, to whoever reads on; it is for them to resume the socket, in the same turn. */
  take(): Buffer[] {
    this.#socket.off("data", this.#keep);
    return this.#pieces.splice(0);
  }

  readonly #keep = (bytes: Buffer): void => {
    this.#pieces.push(bytes);
    this.#length += bytes.length;
    if (this.#length >= MAX_EARLY_BYTES) this.#socket.pause();
  };
}
