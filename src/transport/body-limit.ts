import { finished, Readable, Transform, type TransformCallback } from "node:stream";
import { CallError } from "../core/errors.ts";
import type { RequestMessage } from "../core/message.ts";
import type { BodyLimit } from "../invocation/ports.ts";
import { MessageSizes } from "./grpc/message-sizes.ts";

/** The callee's limit, the same whether the call comes from another process or from a neighbour. */
export function bodyLimit(maxBytes: number): BodyLimit {
  return (request) => {
    const { body, contentLength } = request;
    if (request.grpc === true) return withLimitedMessages(request, maxBytes);
    if (contentLength !== undefined && contentLength > maxBytes) {
      const message = `the request body has ${contentLength} bytes, more than --max-body-size of the callee allows (${maxBytes})`;
      throw new CallError("ResourceExhausted", message);
    }
    if (contentLength !== undefined || body === undefined) return request;
    if (body instanceof Readable) return { ...request, body: limited(body, maxBytes) };
    if (body.byteLength > maxBytes) throw streamTooLarge();
    return request;
  };
}

/** A body of unknown length, failing as daprd's does once it is over the limit. */
export function limited(body: Readable, maxBytes: number): Readable {
  let left = maxBytes;
  return looked(body, (piece) => {
    left -= piece.length;
    if (left < 0) throw streamTooLarge();
  });
}

/** As daprd calls a body that did not say how long it is. */
export function streamTooLarge(): CallError {
  return new StreamTooLarge(undefined, "stream too large");
}

export class StreamTooLarge extends CallError {}

/** However many there are: a stream of gRPC may go on for ever. */
function withLimitedMessages(request: RequestMessage, maxBytes: number): RequestMessage {
  const { body } = request;
  if (body === undefined) return request;
  const sizes = new MessageSizes(maxBytes);
  if (body instanceof Readable) {
    return {
      ...request,
      body: looked(body, (piece) => {
        sizes.add(piece);
      }),
    };
  }
  sizes.add(body);
  return request;
}

/** @param look throws what the body fails with. */
function looked(body: Readable, look: (piece: Uint8Array) => void): Readable {
  const watched = new WatchedBody(look);
  // Tells of a body that has broken already, too, as one does that was limited before and found too large meanwhile.
  finished(body, { writable: false }, (error) => {
    if (error != null) watched.destroy(error);
  });
  return body.pipe(watched);
}

class WatchedBody extends Transform {
  readonly #look: (piece: Uint8Array) => void;

  constructor(look: (piece: Uint8Array) => void) {
    super();
    this.#look = look;
    // A call may fail before anybody reads the body; a client that leaves then is nobody's error.
    this.on("error", () => undefined);
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    try {
      this.#look(chunk);
    } catch (error) {
      callback(error as Error);
      return;
    }
    callback(null, chunk);
  }
}
