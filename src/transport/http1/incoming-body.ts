import { Readable } from "node:stream";
import { streamTooLarge } from "../body-limit.ts";
import type { PieceSink } from "./body-decoder.ts";

/** Who reads the connection that a body arrives on. */
export interface BodySource {
  /** The body's reader wants more. */
  resume(): void;
  /** The body's reader wants no more for now. */
  pause(): void;
  /** Nobody will read the rest of the body. Not called for one that was read to its end. */
  abandon(): void;
}

const HIGH_WATER_BYTES = 64 * 1024;

/** A body as it arrives, with back-pressure. Destroying it leaves its connection to whoever reads that. */
export class IncomingBody extends Readable implements PieceSink {
  readonly #source: BodySource;
  #left: number;
  /** All of it has come: the connection has gone on to other things. */
  #isComplete = false;

  /** @param maxBytes the body fails as daprd's does once it is longer. */
  constructor(source: BodySource, maxBytes: number) {
    super({ highWaterMark: HIGH_WATER_BYTES });
    this.#source = source;
    this.#left = maxBytes;
    // It may break before anybody looks at it; whoever reads it asks `errored`.
    this.on("error", ignore);
  }

  addPiece(piece: Buffer): void {
    if (this.destroyed) return;
    this.#left -= piece.length;
    if (this.#left < 0) this.destroy(streamTooLarge());
    else if (!this.push(piece)) this.#source.pause();
  }

  complete(): void {
    this.#isComplete = true;
    if (!this.destroyed) this.push(null);
  }

  override _read(): void {
    if (!this.#isComplete) this.#source.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.#isComplete) this.#source.abandon();
    callback(error);
  }
}

function ignore(): void {
  // Intentionally nothing.
}
