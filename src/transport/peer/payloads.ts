import { Readable } from "node:stream";
import { create } from "@bufbuild/protobuf";
import { CallError } from "../../core/errors.ts";
import { type StreamPayload, StreamPayloadSchema } from "../../gen/dapr/proto/common/v1/common_pb.ts";

/** Bodies in the pieces of CallLocalStream: numbered from 0, without a gap (A5). */

// daprd's have 2 KB, and its messages may have 4 MiB by default. Larger ones cost both sides less.
export const PAYLOAD_BYTES = 64 * 1024;

/** One message, as it goes on the wire. The first has the head of the call, and a piece of the body if there is any yet. */
export type MessageOfPiece = (payload: StreamPayload | undefined, isFirst: boolean) => Uint8Array;

/** All of a body in messages, one of them at least. */
export function messagesOf(body: Uint8Array | undefined, messageOf: MessageOfPiece): Uint8Array {
  const messages = [...slicesOf(body ?? NO_BYTES)].map((data, at) => messageOf(payloadOf(data, BigInt(at)), at === 0));
  return messages.length === 0 ? messageOf(undefined, true) : Buffer.concat(messages);
}

/**
 * A body that becomes messages, and is not begun before somebody reads them: until then it can go elsewhere. Giving them up
 * gives up the body, where that has begun.
 */
export class MessagesOfBody extends Readable {
  readonly #body: Readable;
  readonly #messageOf: MessageOfPiece;
  #head: Uint8Array | undefined;
  #sent = 0n;
  #hasBegun = false;

  /** @param begun what has been read of the body; goes out with the head, which else goes ahead of the body. */
  constructor(body: Readable, messageOf: MessageOfPiece, begun?: Uint8Array) {
    super({ highWaterMark: PAYLOAD_BYTES });
    this.#body = body;
    this.#messageOf = messageOf;
    this.#head = begun === undefined ? messageOf(undefined, true) : messageOf(payloadOf(begun, this.#sent++), true);
    // Whoever reads them asks `errored`.
    this.on("error", () => undefined);
  }

  override _read(): void {
    if (this.#head !== undefined) {
      const head = this.#head;
      this.#head = undefined;
      this.push(head);
    } else if (this.#hasBegun) this.#body.resume();
    else this.#begin();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (this.#hasBegun) this.#body.destroy();
    callback(error);
  }

  #begin(): void {
    this.#hasBegun = true;
    const body = this.#body;
    body.on("data", (piece: Buffer) => {
      if (!this.#send(piece)) body.pause();
    });
    body.once("end", () => {
      if (!this.destroyed) this.push(null);
    });
    body.once("error", (error) => this.destroy(error));
    body.once("close", () => {
      if (!body.readableEnded) this.#breakOff();
    });
    if (body.destroyed && !body.readableEnded) this.#breakOff();
    else body.resume();
  }

  /** False where no more is wanted for now. */
  #send(piece: Buffer): boolean {
    let isWanted = true;
    for (const data of slicesOf(piece)) {
      if (!this.destroyed) isWanted = this.push(this.#messageOf(payloadOf(data, this.#sent++), false));
    }
    return isWanted;
  }

  #breakOff(): void {
    this.destroy(this.#body.errored ?? new Error("the body was given up before its end"));
  }
}

/** What is read of a message of either direction behind the first. */
export interface PayloadMessage {
  /** The head of the call, which only the first message has. */
  readonly head: unknown;
  readonly payload: StreamPayload | undefined;
}

/**
 * The pieces of a body, none of them empty.
 *
 * @param begun of the first message.
 * @throws {CallError} Internal, where one is missing, or a second head comes.
 */
export async function* piecesOf(
  begun: StreamPayload | undefined,
  rest: AsyncIterable<PayloadMessage>,
): AsyncGenerator<Uint8Array> {
  let expected = 0n;
  const dataIn = ({ seq, data }: StreamPayload): Uint8Array => {
    if (seq !== expected) throw broken(`invalid sequence number received: ${seq} (expected: ${expected})`);
    expected++;
    return data;
  };
  const first = begun === undefined ? NO_BYTES : dataIn(begun);
  if (first.byteLength > 0) yield first;
  for await (const { head, payload } of rest) {
    if (head !== undefined) throw broken("metadata found in a chunk that is not the leading one");
    const data = payload === undefined ? NO_BYTES : dataIn(payload);
    if (data.byteLength > 0) yield data;
  }
}

const NO_BYTES = new Uint8Array();

function payloadOf(data: Uint8Array, seq: bigint): StreamPayload {
  return create(StreamPayloadSchema, { data, seq });
}

function* slicesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += PAYLOAD_BYTES) yield bytes.subarray(at, at + PAYLOAD_BYTES);
}

function broken(what: string): CallError {
  return new CallError("Internal", `error invoking app channel: ${what}`);
}
