import type { Readable } from "node:stream";
import type { SocketWriter } from "./socket-writer.ts";

/** Writes HTTP/1.1 messages onto a socket: head and body in one write where they fit. */

/** A header that would break the message it stands in. */
class UnwritableHeader extends Error {
  override readonly name = "UnwritableHeader";
}

// Anything else ends the line, or becomes something else when it is written as latin1.
const UNWRITABLE_VALUE = /[^\t\x20-\x7e\x80-\xff]/;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// Names seen to be tokens. A bound, because they come from outside.
const MAX_KNOWN_NAMES = 2000;
const knownNames = new Set<string>();

/** `name: value` and CRLF. @throws {UnwritableHeader} */
export function headerLine(name: string, value: string): string {
  if (!isHeaderName(name)) throw new UnwritableHeader(`${JSON.stringify(name)} is not a header name`);
  if (!isHeaderValue(value)) {
    throw new UnwritableHeader(`the header ${name} has a character that no header may have`);
  }
  return `${name}: ${value}\r\n`;
}

export function isHeaderName(name: string): boolean {
  if (knownNames.has(name)) return true;
  if (!TOKEN.test(name)) return false;
  if (knownNames.size < MAX_KNOWN_NAMES) knownNames.add(name);
  return true;
}

/** @param value in latin1 code units. */
export function isHeaderValue(value: string): boolean {
  return !UNWRITABLE_VALUE.test(value);
}

// Up to here a copy into one string, which the socket tries to write at once, is cheaper than two buffers.
const ONE_STRING_BYTES = 8 * 1024;
const LAST_CHUNK = "0\r\n\r\n";

/** A head that is complete, its empty line included, and all of its body, of which the head tells the length. */
export function writeWhole(writer: SocketWriter, head: string, body: Uint8Array | undefined): void {
  writeFramed(writer, head, body, "");
}

/** The same with a head that announces chunks: the body goes out as one. */
export function writeWholeChunked(writer: SocketWriter, head: string, body: Uint8Array): void {
  if (body.byteLength === 0) writer.writeSoon(head + LAST_CHUNK);
  else writeFramed(writer, `${head}${body.byteLength.toString(16)}\r\n`, body, `\r\n${LAST_CHUNK}`);
}

function writeFramed(writer: SocketWriter, before: string, body: Uint8Array | undefined, after: string): void {
  if (body === undefined || body.byteLength === 0) {
    writer.writeSoon(before);
  } else if (body.byteLength <= ONE_STRING_BYTES) {
    const bytes = body instanceof Buffer ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    writer.writeSoon(before + bytes.toString("latin1") + after);
  } else {
    const socket = writer.now();
    socket.cork();
    socket.write(before, "latin1");
    socket.write(body);
    if (after !== "") socket.write(after, "latin1");
    socket.uncork();
  }
}

/** Told how a streamed body ended. */
export interface OutgoingBodyOwner {
  /** Everything has been handed to the socket. */
  bodySent(): void;
  /** The message can no longer be completed. `unsentHead` is what has not been written of its head: all of it, or nothing. */
  bodyBroke(error: Error, unsentHead: string): void;
}

/**
 * Carries one body from a stream to a socket, at the pace of the slower. The head goes out with the first bytes, in one
 * write; where those keep the receiver waiting, alone.
 */
export class OutgoingBody {
  readonly #writer: SocketWriter;
  readonly #body: Readable;
  readonly #owner: OutgoingBodyOwner;
  /** Bytes still owed; undefined means chunked. */
  #owed: number | undefined;
  #head: string;
  #hasBegun = false;
  #over = false;

  /** @param length as the head announces it; undefined means chunked. */
  constructor(
    writer: SocketWriter,
    head: string,
    body: Readable,
    length: number | undefined,
    owner: OutgoingBodyOwner,
  ) {
    this.#writer = writer;
    this.#head = head;
    this.#body = body;
    this.#owed = length;
    this.#owner = owner;
  }

  /** Something of the body may have been read. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  start(): void {
    this.#hasBegun = true;
    const body = this.#body;
    body.on("data", this.#onData);
    body.on("end", this.#onEnd);
    body.on("error", this.#onError);
    body.on("close", this.#onClose);
    if (body.errored !== null) this.#onError(body.errored);
    else if (body.destroyed && !body.readableEnded) this.#onClose();
    setImmediate(this.#flushHead);
  }

  /** The socket takes more. */
  drained(): void {
    if (!this.#over) this.#body.resume();
  }

  /** Nobody will get the rest: the stream is given up. */
  stop(): void {
    if (this.#end()) this.#body.destroy();
  }

  readonly #flushHead = (): void => {
    if (this.#over || this.#head === "") return;
    this.#writer.writeSoon(this.#head);
    this.#head = "";
  };

  readonly #onData = (piece: Buffer): void => {
    if (piece.length === 0) return;
    if (this.#owed !== undefined) {
      this.#owed -= piece.length;
      if (this.#owed < 0) {
        this.#break(new Error("the body is longer than its Content-Length"));
        return;
      }
    }
    if (!this.#write(piece)) this.#body.pause();
  };

  readonly #onEnd = (): void => {
    if (this.#owed !== undefined && this.#owed > 0) {
      this.#break(new Error("the body is shorter than its Content-Length"));
      return;
    }
    if (!this.#end()) return;
    if (this.#owed === undefined) this.#writer.writeSoon(this.#head + LAST_CHUNK);
    else if (this.#head !== "") this.#writer.writeSoon(this.#head);
    this.#head = "";
    this.#owner.bodySent();
  };

  readonly #onError = (error: Error): void => {
    this.#break(error);
  };

  readonly #onClose = (): void => {
    this.#break(new Error("the body was given up before its end"));
  };

  #write(piece: Buffer): boolean {
    const head = this.#head;
    this.#head = "";
    const chunked = this.#owed === undefined;
    const before = chunked ? `${head}${piece.length.toString(16)}\r\n` : head;
    if (piece.length <= ONE_STRING_BYTES) {
      return this.#writer.writeSoon(before + piece.toString("latin1") + (chunked ? "\r\n" : ""));
    }
    const socket = this.#writer.now();
    if (before === "") return socket.write(piece);
    socket.cork();
    socket.write(before, "latin1");
    let more = socket.write(piece);
    if (chunked) more = socket.write("\r\n", "latin1");
    socket.uncork();
    return more;
  }

  #break(error: Error): void {
    if (!this.#end()) return;
    this.#body.destroy();
    this.#owner.bodyBroke(error, this.#head);
  }

  /** False where it is over already. */
  #end(): boolean {
    if (this.#over) return false;
    this.#over = true;
    const body = this.#body;
    body.off("data", this.#onData);
    body.off("end", this.#onEnd);
    body.off("error", this.#onError);
    body.off("close", this.#onClose);
    return true;
  }
}
