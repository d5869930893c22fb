import { FRAME_HEAD_BYTES, tooLarge } from "./message-sizes.ts";
import { grpcError } from "./status.ts";

/** Length-prefixed messages: a flag byte, four bytes of length, the message (gRPC over HTTP/2, "Length-Prefixed-Message"). */

/** One message as it goes on the wire, uncompressed. */
export function frameOf(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEAD_BYTES + message.byteLength);
  frame[0] = 0;
  frame.writeUInt32BE(message.byteLength, 1);
  frame.set(message, FRAME_HEAD_BYTES);
  return frame;
}

export interface Frame {
  readonly isCompressed: boolean;
  readonly message: Uint8Array;
}

/** Finds the messages in pieces that are cut anywhere. */
export class FrameReader {
  readonly #maxBytes: number;
  #pieces: Buffer[] = [];
  #length = 0;

  /** @param maxBytes of one message. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** What is complete with this piece. @throws {GrpcError} RESOURCE_EXHAUSTED, INTERNAL for a flag that there is not. */
  *read(piece: Uint8Array): Generator<Frame> {
    this.#pieces.push(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength));
    this.#length += piece.byteLength;
    for (;;) {
      if (this.#length < FRAME_HEAD_BYTES) return;
      const head = this.#peek(FRAME_HEAD_BYTES);
      const bytes = head.readUInt32BE(1);
      refuseFlag(head[0] ?? 0);
      if (bytes > this.#maxBytes) throw grpcError("RESOURCE_EXHAUSTED", tooLarge(bytes, this.#maxBytes));
      if (this.#length < FRAME_HEAD_BYTES + bytes) return;
      const frame = this.#take(FRAME_HEAD_BYTES + bytes);
      yield { isCompressed: frame[0] === 1, message: frame.subarray(FRAME_HEAD_BYTES) };
    }
  }

  /** Whether what was read ends between two messages. */
  get isBetweenMessages(): boolean {
    return this.#length === 0;
  }

  #peek(bytes: number): Buffer {
    const first = this.#pieces[0];
    if (first !== undefined && first.length >= bytes) return first;
    const all = Buffer.concat(this.#pieces);
    this.#pieces = [all];
    return all;
  }

  #take(bytes: number): Buffer {
    const all = this.#pieces.length === 1 ? (this.#pieces[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#pieces);
    const rest = all.subarray(bytes);
    this.#pieces = rest.length === 0 ? [] : [rest];
    this.#length = rest.length;
    return all.subarray(0, bytes);
  }
}

function refuseFlag(flag: number): void {
  if (flag > 1) throw grpcError("INTERNAL", `grpc: received unexpected payload format ${flag}`);
}
