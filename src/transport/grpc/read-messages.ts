import type { Body } from "../../core/message.ts";
import { decompressed } from "./compression.ts";
import { FrameReader } from "./message-frames.ts";
import { grpcError } from "./status.ts";

/**
 * The messages as they come, decompressed; the sender is held back where they are not taken.
 *
 * @param body as it is on the wire; given up where the messages are.
 * @param encoding of `grpc-encoding`.
 * @param maxBytes of one message.
 * @throws {GrpcError} RESOURCE_EXHAUSTED for one that is too large, UNIMPLEMENTED for an unknown compression, INTERNAL
 *   for what is no message.
 * @throws what the body fails with.
 */
export async function* readMessages(
  body: Body,
  encoding: string | undefined,
  maxBytes: number,
): AsyncGenerator<Uint8Array> {
  const reader = new FrameReader(maxBytes);
  for await (const piece of piecesOf(body)) {
    for (const { isCompressed, message } of reader.read(piece)) {
      yield isCompressed ? await decompressed(message, encoding, maxBytes) : message;
    }
  }
  if (!reader.isBetweenMessages) throw grpcError("INTERNAL", "grpc: the call ended within a message");
}

function piecesOf(body: Body): AsyncIterable<Uint8Array> | readonly Uint8Array[] {
  if (body === undefined) return [];
  return body instanceof Uint8Array ? [body] : body;
}
