import { Readable } from "node:stream";
import { OutriggerError } from "../../core/errors.ts";
import type { HttpExchange } from "./http-exchange.ts";

/**
 * The body of a request that may be read by somebody, or not: it is asked for with the first read, and whoever waits to be
 * invited to send it (`100 Continue`) is invited then.
 */
export class UnopenedBody extends Readable {
  readonly #exchange: HttpExchange;
  readonly #maxBytes: number;
  #source: Readable | undefined;
  #isGivenUp = false;

  /** @param maxBytes the body fails beyond. */
  constructor(exchange: HttpExchange, maxBytes: number) {
    super();
    this.#exchange = exchange;
    this.#maxBytes = maxBytes;
    // It may break before anybody looks at it.
    this.on("error", ignore);
  }

  /** @returns whether nobody has begun to read it; then nobody can any more, and the exchange itself has it still. */
  giveUp(): boolean {
    if (this.#source !== undefined || this.destroyed || this.#isGivenUp) return false;
    this.#isGivenUp = true;
    return true;
  }

  override _read(): void {
    if (this.#source === undefined) this.#open();
    else this.#source.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#source?.destroy();
    callback(error);
  }

  #open(): void {
    if (this.#isGivenUp) {
      this.destroy(new Error("the body has been passed on, and is read there"));
      return;
    }
    const { contentLength } = this.#exchange;
    if (contentLength !== undefined && contentLength > this.#maxBytes) {
      const what = `the request body has ${contentLength} bytes, more than --max-body-size allows (${this.#maxBytes})`;
      this.destroy(new OutriggerError("bodyTooLarge", what));
      return;
    }
    const source = this.#exchange.streamBody(this.#maxBytes);
    this.#source = source;
    source.on("data", (piece: Buffer) => {
      if (!this.push(piece)) source.pause();
    });
    source.once("end", () => {
      this.push(null);
    });
    source.once("error", (error) => {
      this.destroy(error);
    });
    source.once("close", () => {
      if (!source.readableEnded) this.destroy(source.errored ?? new Error("the body was given up before its end"));
    });
  }
}

function ignore(): void {
  // Intentionally nothing.
}
