import type { ClientHttp2Stream } from "node:http2";
import type { Readable } from "node:stream";

/** Carries one body from a stream to a stream of HTTP/2, at the pace of the slower. */
export class Http2RequestBody {
  readonly #stream: ClientHttp2Stream;
  readonly #body: Readable;
  readonly #ended: (error?: Error) => void;
  /** Bytes still owed; undefined where the head does not say. */
  #owed: number | undefined;
  #over = false;

  /**
   * @param length as the head announces it.
   * @param ended called once: everything has been handed on, or the error says why it never will be.
   */
  constructor(stream: ClientHttp2Stream, body: Readable, length: number | undefined, ended: (error?: Error) => void) {
    this.#stream = stream;
    this.#body = body;
    this.#owed = length;
    this.#ended = ended;
  }

  start(): void {
    const body = this.#body;
    body.on("data", this.#onData);
    body.on("end", this.#onEnd);
    body.on("error", this.#onError);
    body.on("close", this.#onClose);
    this.#stream.on("drain", this.#onDrain);
    if (body.errored !== null) this.#onError(body.errored);
    else if (body.destroyed && !body.readableEnded) this.#onClose();
  }

  /** Nobody will get the rest: the stream is given up. */
  stop(): void {
    if (this.#end()) this.#body.destroy();
  }

  readonly #onData = (piece: Buffer): void => {
    if (this.#owed !== undefined) {
      this.#owed -= piece.length;
      if (this.#owed < 0) {
        this.#onError(new Error("the body is longer than its Content-Length"));
        return;
      }
    }
    if (!this.#stream.write(piece)) this.#body.pause();
  };

  readonly #onDrain = (): void => {
    this.#body.resume();
  };

  readonly #onEnd = (): void => {
    if (this.#owed !== undefined && this.#owed > 0) {
      this.#onError(new Error("the body is shorter than its Content-Length"));
    } else if (this.#end()) {
      this.#stream.end();
      this.#stream.once("finish", () => {
        this.#ended();
      });
    }
  };

  readonly #onError = (error: Error): void => {
    if (!this.#end()) return;
    this.#body.destroy();
    this.#ended(error);
  };

  readonly #onClose = (): void => {
    this.#onError(new Error("the body was given up before its end"));
  };

  /** False where it is over already. */
  #end(): boolean {
    if (this.#over) return false;
    this.#over = true;
    const body = this.#body;
    body.off("data", this.#onData);
    body.off("end", this.#onEnd);
    body.off("error", this.#onError);
    body.off("close", this.#onClose);
    this.#stream.off("drain", this.#onDrain);
    return true;
  }
}
