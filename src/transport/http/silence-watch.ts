import type { Socket } from "node:net";
import { isEventStream } from "../../core/event-stream.ts";
import { HALF_CLOSED_PATIENCE_MS } from "./http-exchange.ts";

/**
 * An answer that has begun, and of which nothing more is written for so long. Shorter pauses are those of an ordinary
 * answer that takes its time.
 */
const SILENT_ANSWER_PATIENCE_MS = 10_000;

/**
 * Watches over an answer that has begun, for a client that sends no more: it may only have closed its half of the
 * connection, or be gone, and nothing tells until something is written to it. While the answer flows it goes on; once it
 * is silent, the connection is cut, and with it the call. Event streams are silent for hours, and whoever still follows
 * one keeps its half open, so that those have a second.
 */
export class SilenceWatch {
  readonly #socket: Socket;
  readonly #timer: NodeJS.Timeout;
  #written: number;

  /** @param headers of the answer. */
  constructor(socket: Socket, headers: readonly string[]) {
    this.#socket = socket;
    this.#written = socket.bytesWritten;
    const patience = isEventStream(headers) ? HALF_CLOSED_PATIENCE_MS : SILENT_ANSWER_PATIENCE_MS;
    this.#timer = setInterval(this.#look, patience);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  readonly #look = (): void => {
    const { bytesWritten, writableLength } = this.#socket;
    // What waits to be taken is no silence: the kernel of a client that has gone refuses it.
    const isSilent = bytesWritten === this.#written && writableLength === 0;
    this.#written = bytesWritten;
    if (isSilent) this.#socket.destroy();
  };
}
