/** Messages, and what goes wrong with messages: the raw material of the differential tests. */

/** A small generator of numbers that is the same for the same seed (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 ≤ n < `below`. */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  }

  chance(oneIn: number): boolean {
    return this.below(oneIn) === 0;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }
}

const METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE"];
const TARGETS = ["/", "/a", "/v1.0/invoke/x/method/y?z=1", "/%2F%00", "/a?b?c", "/a;b=c", "/'\"<>\\^`{|}~"];
const HEADERS = [
  "Accept: */*",
  "X-Empty:",
  "X-Spaces:   a b   ",
  "X-Tab:\ta\tb",
  "X-Latin: \xe4\xff",
  "Cookie: a=b; c=d",
  "Connection: keep-alive",
  "Connection: close",
  "x!#$%&'*+-.^_`|~1: y",
  "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
];
const REASONS = ["OK", "", "Not Found", "a\tb"];
const STATUSES = [200, 200, 200, 201, 204, 304, 404, 500, 100, 103];

// What makes two parsers disagree, if anything does.
const SPICE = [
  ...["\r", "\n", "\r\n", "\n\n", "\r\r", " ", "\t", "\0", ":", ",", ";", "#", "\x80", "\xff", "\x7f", "\x0b", "\x0c"],
  ...["0", "1", "-1", "+1", "0x1", "1e1", "99999999999999999999", "chunked", "identity", "HTTP/1.1", "HTTP/1.0", "/"],
  ...["\r\nContent-Length: 3", "\r\nContent-Length: 3, 3", "\r\nTransfer-Encoding: chunked", "\r\nHost: z"],
  ...["\r\n folded", "\r\nTransfer-Encoding: gzip, chunked", "\r\nTransfer-Encoding : chunked", "\r\nContent-Length:"],
  ...["\r\nTransfer-Encoding: xchunked", "\r\nTransfer-Encoding:\x0bchunked", "\r\nConnection: upgrade", "\r\n\r\n"],
  ...["\r\nTrailer: x", "\r\nExpect: 100-continue", "\r\nUpgrade: h2c", "0\r\n\r\n", "G", "GET / HTTP/1.1\r\n"],
];

export function request(random: Random): string {
  const lines = [`${random.pick(METHODS)} ${random.pick(TARGETS)} HTTP/1.1`, "Host: x", ...someHeaders(random)];
  return withBody(random, lines);
}

export function answer(random: Random): string {
  const lines = [`HTTP/1.1 ${random.pick(STATUSES)} ${random.pick(REASONS)}`, ...someHeaders(random)];
  return withBody(random, lines);
}

function someHeaders(random: Random): string[] {
  return Array.from({ length: random.below(4) }, () => random.pick(HEADERS));
}

function withBody(random: Random, lines: readonly string[]): string {
  const body = "0123456789abcdefghij".slice(0, random.below(20));
  switch (random.below(3)) {
    case 0:
      return `${[...lines, `Content-Length: ${body.length}`].join("\r\n")}\r\n\r\n${body}`;
    case 1:
      return `${[...lines, "Transfer-Encoding: chunked"].join("\r\n")}\r\n\r\n${chunks(random, body)}`;
    default:
      return `${lines.join("\r\n")}\r\n\r\n`;
  }
}

function chunks(random: Random, body: string): string {
  let text = "";
  for (let at = 0; at < body.length; ) {
    const piece = body.slice(at, at + 1 + random.below(8));
    const size = random.chance(4) ? `00${piece.length.toString(16).toUpperCase()}` : piece.length.toString(16);
    text += `${size}${random.chance(6) ? ";ext=1" : ""}\r\n${piece}\r\n`;
    at += piece.length;
  }
  return `${text}0\r\n${random.chance(5) ? "X-Trailer: y\r\n" : ""}\r\n`;
}

/** The text with a few things done to it: most cases have none, one or two. */
export function mutated(random: Random, text: string): string {
  let out = text;
  for (let times = random.below(4); times > 0; times--) {
    const at = random.below(out.length + 1);
    const length = random.pick([0, 0, 1, 1, 2, random.below(30)]);
    const end = Math.min(out.length, at + length);
    switch (random.below(5)) {
      case 0:
        out = out.slice(0, at) + out.slice(end);
        break;
      case 1:
        out = out.slice(0, end) + out.slice(at);
        break;
      case 2:
        out = out.slice(0, at) + String.fromCharCode(random.below(256)) + out.slice(at);
        break;
      default:
        out = out.slice(0, at) + random.pick(SPICE) + out.slice(random.chance(2) ? at : end);
    }
  }
  return out;
}

/** The bytes as they might arrive. */
export function inPieces(random: Random, text: string): Buffer[] {
  const bytes = Buffer.from(text, "latin1");
  if (random.chance(2)) return [bytes];
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 1 + random.below(random.chance(3) ? 3 : bytes.length);
    pieces.push(bytes.subarray(at, end));
    at = end;
  }
  return pieces;
}
