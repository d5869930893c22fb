import { finished, Readable, Transform, type TransformCallback } from "node:stream";
import { StringDecoder } from "node:string_decoder";

/** The same text in capital letters, as it comes. What is no UTF-8 becomes U+FFFD, as in daprd. */
export function inUpperCase(body: Uint8Array | Readable): Uint8Array | Readable {
  if (body instanceof Uint8Array) return Buffer.from(capitals(Buffer.from(body).toString("utf8")));
  const transform = new UpperCase();
  finished(body, { writable: false }, (error) => {
    if (error != null) transform.destroy(error);
  });
  transform.once("close", () => {
    body.destroy();
  });
  return body.pipe(transform);
}

class UpperCase extends Transform {
  readonly #decoder = new StringDecoder("utf8");

  constructor() {
    super();
    // It may break before anybody looks at it.
    this.on("error", () => undefined);
  }

  override _transform(piece: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    callback(null, capitals(this.#decoder.write(piece)));
  }

  override _flush(callback: TransformCallback): void {
    callback(null, this.#decoder.end());
  }
}

/** Letter by letter, as Go has it: one that is two capitals (`ß`) stays as it is. */
function capitals(text: string): string {
  return Array.from(text, (letter) => {
    const capital = letter.toUpperCase();
    return capital.length === letter.length ? capital : letter;
  }).join("");
}
