import { Readable } from "node:stream";
import type { RepeatableBody } from "../../invocation/ports.ts";
import { MessageSizes } from "./message-sizes.ts";

// With the head of its frame. What is longer passes as it comes, so that memory does not grow with messages.
const MAX_KEPT_BYTES = 64 * 1024 + 5;

/**
 * The messages of a caller, the first of which is kept until a second one begins, or the call is answered: until then a
 * call that failed can be made again, though its stream be open. Nothing is read before somebody wants it.
 */
export class FirstMessageBody implements RepeatableBody {
  readonly #source: Readable;
  readonly #sizes: MessageSizes;
  /** All that has passed; undefined once it is too much. */
  #kept: Buffer[] | undefined = [];
  #keptBytes = 0;
  #reader: Reader | undefined;
  #isWatched = false;
  #hasEnded = false;

  /** @param maxMessageBytes the body fails with ResourceExhausted at a message that is larger. */
  constructor(source: Readable, maxMessageBytes: number) {
    this.#source = source;
    this.#sizes = new MessageSizes(maxMessageBytes);
  }

  get canRepeat(): boolean {
    return this.#kept !== undefined && (this.#hasEnded || !this.#source.destroyed);
  }

  get isUntouched(): boolean {
    return this.#keptBytes === 0;
  }

  open(): Readable {
    const before = this.#reader;
    this.#reader = new Reader(this, this.#kept ?? []);
    before?.destroy();
    return this.#reader;
  }

  keepNoMore(): void {
    this.#kept = undefined;
  }

  // For the reader.

  wanted(reader: Reader): void {
    if (reader !== this.#reader) return;
    if (this.#hasEnded) reader.push(null);
    else if (this.#isWatched) this.#source.resume();
    else this.#watch();
  }

  unwanted(reader: Reader): void {
    if (reader !== this.#reader) return;
    this.#reader = undefined;
    if (this.#hasEnded) return;
    if (this.canRepeat) this.#source.pause();
    else this.#source.destroy();
  }

  #watch(): void {
    const source = this.#source;
    this.#isWatched = true;
    source.on("data", (piece: Buffer) => {
      this.#pass(piece);
    });
    source.once("end", () => {
      this.#hasEnded = true;
      this.#reader?.push(null);
    });
    source.once("error", (error) => {
      this.#break(error);
    });
    source.once("close", () => {
      if (!this.#hasEnded) this.#break(new Error("the caller's stream was closed"));
    });
    if (source.errored !== null) this.#break(source.errored);
    else if (source.destroyed) this.#break(new Error("the caller's stream was closed"));
  }

  #pass(piece: Buffer): void {
    try {
      this.#sizes.add(piece);
    } catch (error) {
      this.#break(error as Error);
      return;
    }
    this.#keep(piece);
    if (this.#reader?.push(piece) !== true) this.#source.pause();
  }

  #keep(piece: Buffer): void {
    this.#keptBytes += piece.length;
    if (this.#sizes.begun > 1 || this.#keptBytes > MAX_KEPT_BYTES) this.#kept = undefined;
    else this.#kept?.push(piece);
  }

  #break(error: Error): void {
    this.#kept = undefined;
    this.#reader?.destroy(error);
    this.#source.destroy();
  }
}

/** The body, for one try. */
class Reader extends Readable {
  readonly #body: FirstMessageBody;
  #first: readonly Buffer[];

  constructor(body: FirstMessageBody, first: readonly Buffer[]) {
    super({ highWaterMark: 16 * 1024 });
    this.#body = body;
    this.#first = [...first];
    // It may break before anybody looks at it.
    this.on("error", () => undefined);
  }

  override _read(): void {
    const first = this.#first;
    this.#first = [];
    for (const piece of first) this.push(piece);
    if (first.length === 0) this.#body.wanted(this);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#body.unwanted(this);
    callback(error);
  }
}
