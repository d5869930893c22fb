import type { RawHeaders } from "../../core/raw-headers.ts";

/**
 * Heads of HTTP/1.1 messages, read strictly (RFC 9112): whatever two parsers could read differently is refused, not
 * repaired. Pure functions on text; sockets are their callers' business.
 */

export const HEAD_END = Buffer.from("\r\n\r\n");

/** The message is not HTTP/1.1 as it is read here. Nothing that follows it on the connection can be trusted. */
export class MalformedMessage extends Error {
  override readonly name: string = "MalformedMessage";
}

/** What came is another protocol, or none. */
export class ForeignAnswer extends MalformedMessage {
  override readonly name = "ForeignAnswer";
}

const TLS_ALERT = 0x15;
const TLS_HANDSHAKE = 0x16;
const TLS_MAJOR_VERSION = 3;
const HTTP2_FRAME_HEAD_BYTES = 9;
const HTTP2_SETTINGS = 4;

/** Tells by the first bytes of an answer that is not HTTP/1.1 what it is, as far as that can be told. */
export function foreignAnswer(bytes: Buffer): ForeignAnswer {
  const [first, second] = bytes;
  if ((first === TLS_ALERT || first === TLS_HANDSHAKE) && second === TLS_MAJOR_VERSION) {
    return new ForeignAnswer("the answer is in TLS");
  }
  // RFC 9113 3.4: a server's first frame is SETTINGS, on stream 0.
  if (bytes.length >= HTTP2_FRAME_HEAD_BYTES && bytes[3] === HTTP2_SETTINGS && bytes.readUInt32BE(5) === 0) {
    return new ForeignAnswer("the answer is in HTTP/2");
  }
  return new ForeignAnswer("the status line is malformed");
}

/** A header section, and what it says about its message's framing and connection. */
export interface HeaderSection {
  readonly headers: RawHeaders;
  /** Undefined where there is no such header. */
  readonly contentLength: number | undefined;
  /** `Transfer-Encoding: chunked`; any other coding is refused. */
  readonly chunked: boolean;
  /** `Connection: close` */
  readonly close: boolean;
  /** `Connection: keep-alive`, which matters to HTTP/1.0 alone. */
  readonly keepAlive: boolean;
  /** An `Upgrade` header is there. */
  readonly upgrade: boolean;
  /** In lower case. */
  readonly expect: string | undefined;
  readonly hosts: number;
}

export interface RequestHead {
  readonly method: string;
  /** As sent, without a fragment. */
  readonly target: string;
  readonly section: HeaderSection;
}

export interface ResponseHead {
  readonly status: number;
  readonly statusText: string;
  /** HTTP/1.0 or HTTP/1.1. */
  readonly minorVersion: 0 | 1;
  readonly section: HeaderSection;
}

const CR = 13;
const LF = 10;
const SPACE = 32;
const TAB = 9;
const COLON = 58;

/** One flag for each of the 256 code units that latin1 text is made of. */
function characters(allowed: RegExp): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, code) => (allowed.test(String.fromCharCode(code)) ? 1 : 0));
}

const IS_TOKEN = characters(/[!#$%&'*+\-.^_`|~0-9A-Za-z]/);
const IS_IN_VALUE = characters(/[\t\x20-\x7e\x80-\xff]/);
// `#` would begin a fragment, which has no place in a request; bytes above 0x7f have to be escaped.
const IS_IN_TARGET = characters(/[\x21\x22\x24-\x7e]/);

const REQUEST_LINE_END = " HTTP/1.1\r\n";

/** False where no HTTP message can begin with this byte: TLS, for one. */
export function mayBeginMessage(byte: number): boolean {
  return IS_TOKEN[byte] === 1;
}

/**
 * Looks through a head that has not come to its end. With bare line ends it never would, however long one waited.
 *
 * @throws {MalformedMessage}
 */
export function refuseBareLf(bytes: Buffer, start: number): void {
  for (let lf = bytes.indexOf(LF, start); lf !== -1; lf = bytes.indexOf(LF, lf + 1)) {
    if (bytes[lf - 1] !== CR) throw new MalformedMessage("a line ends with a bare LF");
  }
}

/**
 * True where the request line is one that is served here; any other goes, as it is, to who knows more methods, versions
 * and forms of target.
 *
 * @throws {MalformedMessage} where it is no request line at all.
 */
export function isCommonRequest(text: string): boolean {
  const space = text.indexOf(" ");
  if (COMMON_METHODS.has(text.slice(0, space)) && text[space + 1] === "/") {
    const lineEnd = text.indexOf("\r\n", space);
    if (text.startsWith(" HTTP/1.1", lineEnd - 9)) return true;
  }
  if (!REQUEST_LINE.test(text)) throw new MalformedMessage("the request line is malformed");
  return false;
}

const REQUEST_LINE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [\x21-\x7e]+ HTTP\/[0-9]\.[0-9]\r\n/;

const COMMON_METHODS = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"]);

/**
 * @param text the whole head as latin1, its empty line included.
 * @throws {MalformedMessage} saying what is wrong.
 */
export function parseRequestHead(text: string): RequestHead {
  let at = spanOf(IS_TOKEN, text, 0);
  const method = text.slice(0, at);
  if (method === "" || text.charCodeAt(at) !== SPACE) throw new MalformedMessage("the request line is malformed");
  const targetAt = at + 1;
  at = spanOf(IS_IN_TARGET, text, targetAt);
  if (at === targetAt) throw new MalformedMessage("the request line has no target");
  if (!text.startsWith(REQUEST_LINE_END, at)) {
    throw new MalformedMessage(
      "the request target has a character that must be escaped, or the version is not HTTP/1.1",
    );
  }
  const section = new SectionParser(text, at + REQUEST_LINE_END.length);
  if (section.hosts !== 1) {
    throw new MalformedMessage(
      section.hosts === 0 ? "the request has no Host header" : "the request has more than one Host header",
    );
  }
  return { method, target: text.slice(targetAt, at), section };
}

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n/;

/** As {@link parseRequestHead}. */
export function parseResponseHead(text: string): ResponseHead {
  const line = STATUS_LINE.exec(text);
  if (line === null) throw new MalformedMessage("the status line is malformed");
  const section = new SectionParser(text, line[0].length);
  const minorVersion = line[1] === "1" ? 1 : 0;
  if (minorVersion === 0 && section.chunked) throw new MalformedMessage("HTTP/1.0 has no Transfer-Encoding");
  return { status: Number(line[2]), statusText: line[3] ?? "", minorVersion, section };
}

/** The lines of a trailer section, which are checked and forgotten. @throws {MalformedMessage} */
export function checkTrailers(text: string): void {
  const { contentLength, chunked, hosts } = new SectionParser(text, 0);
  if (contentLength !== undefined || chunked || hosts > 0) {
    throw new MalformedMessage("the trailers have a header that may only stand before the body");
  }
}

// More digits are no length that anybody means, and no number that JavaScript has exactly.
const LENGTH = /^[0-9]{1,15}$/;

/** Reads `name: value` lines up to the empty one. */
class SectionParser implements HeaderSection {
  readonly headers: RawHeaders = [];
  contentLength: number | undefined;
  chunked = false;
  close = false;
  keepAlive = false;
  upgrade = false;
  expect: string | undefined;
  hosts = 0;

  constructor(text: string, start: number) {
    let at = start;
    while (text.charCodeAt(at) !== CR) at = this.#line(text, at);
    if (at + 2 !== text.length || text.charCodeAt(at + 1) !== LF) {
      throw new MalformedMessage("a bare CR stands where a header was to begin");
    }
    if (this.chunked && this.contentLength !== undefined) {
      throw new MalformedMessage("the message has both Content-Length and Transfer-Encoding");
    }
  }

  /** Returns where the next line begins. */
  #line(text: string, start: number): number {
    const colon = spanOf(IS_TOKEN, text, start);
    if (colon === start || text.charCodeAt(colon) !== COLON) {
      throw new MalformedMessage("a header line is folded, has no name, or has no colon right behind its name");
    }
    let valueAt = colon + 1;
    while (isBlank(text.charCodeAt(valueAt))) valueAt++;
    const lineEnd = spanOf(IS_IN_VALUE, text, valueAt);
    if (text.charCodeAt(lineEnd) !== CR || text.charCodeAt(lineEnd + 1) !== LF) {
      throw new MalformedMessage(`the value of the header ${text.slice(start, colon)} has a control character`);
    }
    let valueEnd = lineEnd;
    while (valueEnd > valueAt && isBlank(text.charCodeAt(valueEnd - 1))) valueEnd--;
    this.#add(text.slice(start, colon), text.slice(valueAt, valueEnd));
    // Some take a tab behind a length or a coding for a part of it.
    if (valueEnd < lineEnd && isFraming(colon - start) && text.slice(valueEnd, lineEnd).includes("\t")) {
      throw new MalformedMessage(`a tab follows the value of the header ${text.slice(start, colon)}`);
    }
    return lineEnd + 2;
  }

  #add(name: string, value: string): void {
    this.headers.push(name, value);
    // By length first: most headers are none of these.
    switch (name.length) {
      case 4:
        if (name.toLowerCase() === "host") this.hosts++;
        break;
      case 6:
        if (name.toLowerCase() === "expect") this.expect = value.toLowerCase();
        break;
      case 7:
        if (name.toLowerCase() === "upgrade") this.upgrade = true;
        break;
      case 10:
        if (name.toLowerCase() === "connection") this.#readConnection(value);
        break;
      case 14:
        if (name.toLowerCase() === "content-length") this.#readLength(value);
        break;
      case 17:
        if (name.toLowerCase() === "transfer-encoding") this.#readCoding(value);
        break;
    }
  }

  #readConnection(value: string): void {
    const lower = value.toLowerCase();
    if (lower === "keep-alive") {
      this.keepAlive = true;
      return;
    }
    for (const option of lower.split(",")) {
      const name = option.trim();
      if (name === "close") this.close = true;
      else if (name === "keep-alive") this.keepAlive = true;
    }
  }

  #readLength(value: string): void {
    if (this.contentLength !== undefined) throw new MalformedMessage("the message has more than one Content-Length");
    if (!LENGTH.test(value)) throw new MalformedMessage(`"${value}" is not a Content-Length`);
    this.contentLength = Number(value);
  }

  #readCoding(value: string): void {
    if (this.chunked) throw new MalformedMessage("the message has more than one Transfer-Encoding");
    // RFC 9112 6.1 allows more codings; nobody sends them, and a peer that skips one reads another body.
    if (value.toLowerCase() !== "chunked")
      throw new MalformedMessage(`the transfer coding "${value}" is not supported`);
    this.chunked = true;
  }
}

function spanOf(table: Uint8Array, text: string, start: number): number {
  let at = start;
  while (table[text.charCodeAt(at)] === 1) at++;
  return at;
}

/** By length: Content-Length, Transfer-Encoding, and whatever else is as long. */
function isFraming(nameLength: number): boolean {
  return nameLength === 14 || nameLength === 17;
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}
