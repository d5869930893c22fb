import { finished, Readable, Transform, type TransformCallback } from "node:stream";
import { CallError } from "../core/errors.ts";
import type { BodyLimit } from "../invocation/ports.ts";

/** The callee's limit, the same whether the call comes from another process or from a neighbour. */
export function bodyLimit(maxBytes: number): BodyLimit {
  return (request) => {
    const { body, contentLength } = request;
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
  const limit = new LimitedBody(maxBytes);
  // Tells of a body that has broken already, too, as one does that was limited before and found too large meanwhile.
  finished(body, { writable: false }, (error) => {
    if (error != null) limit.destroy(error);
  });
  return body.pipe(limit);
}

/** As daprd calls a body that did not say how long it is. */
export function streamTooLarge(): CallError {
  return new CallError(undefined, "stream too large");
}

class LimitedBody extends Transform {
  #left: number;

  constructor(maxBytes: number) {
    super();
    this.#left = maxBytes;
    // A call may fail before anybody reads the body; a client that leaves then is nobody's error.
    this.on("error", () => undefined);
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.#left -= chunk.length;
    if (this.#left < 0) callback(streamTooLarge());
    else callback(null, chunk);
  }
}
