import { CallError } from "../../core/errors.ts";

export const FRAME_HEAD_BYTES = 5;

/** Counts messages (message-frames.ts) in pieces that pass by, cut anywhere, and keeps nothing of them. */
export class MessageSizes {
  readonly #maxBytes: number;
  #begun = 0;
  /** Of the head that is being read. */
  #headBytes = 0;
  #length = 0;
  /** Of the message that is being read. */
  #left = 0;

  /** @param maxBytes of one message. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Messages that have begun. */
  get begun(): number {
    return this.#begun;
  }

  /** @throws {CallError} ResourceExhausted, for a message that announces itself to be larger than any may be. */
  add(piece: Uint8Array): void {
    let at = 0;
    while (at < piece.length) {
      if (this.#left > 0) {
        const step = Math.min(this.#left, piece.length - at);
        this.#left -= step;
        at += step;
      } else this.#addHeadByte(piece[at++] ?? 0);
    }
  }

  #addHeadByte(byte: number): void {
    if (this.#headBytes === 0) this.#begun++;
    else this.#length = this.#length * 256 + byte;
    this.#headBytes++;
    if (this.#headBytes < FRAME_HEAD_BYTES) return;
    // A CallError, for it is told to the peer's sidecar too.
    if (this.#length > this.#maxBytes) throw new CallError("ResourceExhausted", tooLarge(this.#length, this.#maxBytes));
    this.#left = this.#length;
    this.#length = 0;
    this.#headBytes = 0;
  }
}

/** As grpc-go says it, whose users match on the text. */
export function tooLarge(bytes: number, maxBytes: number): string {
  return `grpc: received message larger than max (${bytes} vs. ${maxBytes})`;
}
