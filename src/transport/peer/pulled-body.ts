import { Readable } from "node:stream";

/** A body whose pieces are made of another stream's, at the pace at which they are read. */
export class PulledBody extends Readable {
  readonly #pieces: AsyncIterator<Uint8Array>;
  readonly #source: Readable;

  /**
   * @param pieces none of them empty; a failure is the body's.
   * @param source given up with the body, even where the next piece is still awaited.
   */
  constructor(pieces: AsyncIterator<Uint8Array>, source: Readable) {
    super({ highWaterMark: HIGH_WATER_BYTES });
    this.#pieces = pieces;
    this.#source = source;
    // It may break before anybody looks at it; whoever reads it asks `errored`.
    this.on("error", () => undefined);
  }

  override _read(): void {
    this.#pieces.next().then(
      ({ done, value }) => {
        if (!this.destroyed) this.push(done === true ? null : value);
      },
      (error: unknown) => {
        this.destroy(error instanceof Error ? error : new Error(String(error)));
      },
    );
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#source.destroy();
    callback(error);
  }
}

const HIGH_WATER_BYTES = 64 * 1024;
