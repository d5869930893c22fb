import { Readable } from "node:stream";
import { frameOf } from "./message-frames.ts";
import { type GrpcStatus, OK } from "./status.ts";

/** Messages on their way to a caller, at the pace at which it takes them. */
export class MessageStream extends Readable {
  status: GrpcStatus = OK;
  #wanted: (() => void) | undefined;

  constructor() {
    super({ highWaterMark: 64 * 1024 });
    // Who sends is told by `send`.
    this.on("error", () => undefined);
  }

  /** Resolves once a further message may be sent. @throws {Error} where the caller has gone. */
  async send(message: Uint8Array): Promise<void> {
    if (this.destroyed) throw this.errored ?? new Error("the caller has left");
    if (this.push(frameOf(message))) return;
    await new Promise<void>((resolve) => {
      this.#wanted = resolve;
    });
  }

  /** No more messages: the call ends with `status`. Does nothing where the caller has gone. */
  finish(status: GrpcStatus = OK): void {
    if (this.destroyed) return;
    this.status = status;
    this.push(null);
  }

  override _read(): void {
    this.#wanted?.();
    this.#wanted = undefined;
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    // `send` finds out by itself.
    this._read();
    callback(error);
  }
}
