import { checkTrailers, MalformedMessage } from "./message-head.ts";

/** Where the pieces of a body go, in order. */
export interface PieceSink {
  addPiece(piece: Buffer): void;
}

/** Finds the body of one message in the bytes of its connection. */
export interface BodyDecoder {
  /** The body is complete: what follows belongs to another message. */
  readonly done: boolean;
  /**
   * Reads on from `at` and returns where it stopped: the end of `bytes`, or of the body.
   *
   * @throws {MalformedMessage}
   */
  decode(bytes: Buffer, at: number, sink: PieceSink): number;
}

export class LengthDecoder implements BodyDecoder {
  #left: number;

  constructor(length: number) {
    this.#left = length;
  }

  get done(): boolean {
    return this.#left === 0;
  }

  decode(bytes: Buffer, at: number, sink: PieceSink): number {
    const end = Math.min(bytes.length, at + this.#left);
    if (end > at) {
      this.#left -= end - at;
      sink.addPiece(bytes.subarray(at, end));
    }
    return end;
  }
}

/** A body that ends with its connection. */
export class UntilCloseDecoder implements BodyDecoder {
  readonly done = false;

  decode(bytes: Buffer, at: number, sink: PieceSink): number {
    if (at < bytes.length) sink.addPiece(bytes.subarray(at));
    return bytes.length;
  }
}

// Extensions and trailers mean nothing to us and are thrown away; this is how much of that one body may carry.
const MAX_WASTE_BYTES = 16 * 1024;
// 2^44 bytes. Leading zeros count, so that nobody sends a size that goes on for ever.
const MAX_SIZE_DIGITS = 11;

// RFC 9112 7.1.1, behind the first semicolon, and without the blanks that it calls bad.
const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const QUOTED = '"(?:[\\t \\x21\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t \\x21-\\x7e\\x80-\\xff])*"';
const ONE_EXTENSION = `${TOKEN}(?:=(?:${TOKEN}|${QUOTED}))?`;
const EXTENSION = new RegExp(`^${ONE_EXTENSION}(?:;${ONE_EXTENSION})*$`);

const CR = 13;
const LF = 10;
const SEMICOLON = 59;

type ChunkState = "size" | "extension" | "size LF" | "data" | "data CR" | "data LF" | "trailers" | "done";

/** RFC 9112 7.1, with no leniency: CRLF and nothing else ends a line. */
export class ChunkedDecoder implements BodyDecoder {
  #state: ChunkState = "size";
  /** Of the size, or of the data. */
  #left = 0;
  #digits = 0;
  #waste = 0;
  #trailers = "";
  #extension = "";

  get done(): boolean {
    return this.#state === "done";
  }

  decode(bytes: Buffer, start: number, sink: PieceSink): number {
    let at = start;
    while (at < bytes.length && this.#state !== "done") {
      if (this.#state === "data") at = this.#data(bytes, at, sink);
      else if (this.#state === "trailers") at = this.#trailerBytes(bytes, at);
      else this.#frameByte(bytes[at++] ?? 0);
    }
    return at;
  }

  #data(bytes: Buffer, at: number, sink: PieceSink): number {
    const end = Math.min(bytes.length, at + this.#left);
    this.#left -= end - at;
    if (this.#left === 0) this.#state = "data CR";
    sink.addPiece(bytes.subarray(at, end));
    return end;
  }

  #frameByte(byte: number): void {
    switch (this.#state) {
      case "size":
        this.#sizeByte(byte);
        break;
      case "extension":
        if (byte === CR) this.#endExtension();
        else this.#extension += String.fromCharCode(byte);
        this.#count(1);
        break;
      case "size LF":
        this.#expect(byte, LF);
        this.#state = this.#left === 0 ? "trailers" : "data";
        break;
      case "data CR":
        this.#expect(byte, CR);
        this.#state = "data LF";
        break;
      case "data LF":
        this.#expect(byte, LF);
        this.#state = "size";
        this.#digits = 0;
        break;
    }
  }

  #sizeByte(byte: number): void {
    const digit = hexDigit(byte);
    if (digit !== -1) {
      if (++this.#digits > MAX_SIZE_DIGITS) throw new MalformedMessage("a chunk size has too many digits");
      this.#left = this.#left * 16 + digit;
    } else if (this.#digits > 0 && byte === CR) this.#state = "size LF";
    else if (this.#digits > 0 && byte === SEMICOLON) this.#state = "extension";
    else throw new MalformedMessage("a chunk size is not a hexadecimal number");
  }

  #endExtension(): void {
    if (!EXTENSION.test(this.#extension)) throw new MalformedMessage("a chunk extension is malformed");
    this.#extension = "";
    this.#state = "size LF";
  }

  #trailerBytes(bytes: Buffer, at: number): number {
    // The empty line may be cut in two by the pieces it comes in, so what is searched begins a little earlier.
    const before = this.#trailers.length;
    const found = this.#trailers + bytes.toString("latin1", at, Math.min(bytes.length, at + MAX_WASTE_BYTES));
    const end = found.startsWith("\r\n") ? 2 : endOf(found, Math.max(0, before - 3));
    if (end === -1) {
      if (/(?:^|[^\r])\n/.test(found)) throw new MalformedMessage("a bare LF stands in the trailers");
      this.#count(found.length - before);
      this.#trailers = found;
      return at + found.length - before;
    }
    this.#count(end - before);
    checkTrailers(found.slice(0, end));
    this.#state = "done";
    return at + end - before;
  }

  #count(bytes: number): void {
    this.#waste += bytes;
    if (this.#waste > MAX_WASTE_BYTES) {
      throw new MalformedMessage("the chunked body has too many extensions or trailers");
    }
  }

  #expect(byte: number, wanted: number): void {
    if (byte !== wanted) throw new MalformedMessage("a chunk is not followed by CRLF");
  }
}

function endOf(text: string, from: number): number {
  const at = text.indexOf("\r\n\r\n", from);
  return at === -1 ? -1 : at + 4;
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 0x20;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
