import type { IncomingMessage } from "node:http";
import { headerValue, headerValues } from "../../core/raw-headers.ts";
import { splitRequestTarget } from "./api-request.ts";
import { isHttp2Preface, PREFACE } from "./http2-preface.ts";

/**
 * `Upgrade: h2c` (RFC 7540 3.2), which node:http2 does not know. To its session such a connection is made to look like one
 * whose client knew beforehand that HTTP/2 is spoken, and sent the request that asked for the upgrade as its first.
 */

/** What the request that asks for the upgrade says of the HTTP/2 connection. */
export interface H2cRequest {
  /** The payload of a SETTINGS frame: what the client asks for until it says more. */
  readonly settings: Buffer;
  /** The request itself, as the HEADERS frame that opens and ends the client's half of stream 1. */
  readonly headers: Buffer;
}

const FRAME_HEAD_BYTES = 9;
const SETTING_BYTES = 6;
// What every receiver takes until it says otherwise (RFC 9113 4.2).
const MAX_FRAME_BYTES = 16_384;
const HEADERS_FRAME = 1;
const SETTINGS_FRAME = 4;
const END_STREAM = 1;
const END_HEADERS = 4;
const BASE64_URL = /^[A-Za-z0-9_-]*$/;

/** About the HTTP/1.1 connection, or said otherwise in HTTP/2; some of them HTTP/2 forbids. */
const LEFT_OUT = new Set([
  "connection",
  "upgrade",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "te",
  "host",
]);

/**
 * @returns undefined where the request does not ask as RFC 7540 3.2 has it, or is too large for one frame. Then it is to be
 *   answered in HTTP/1.1.
 */
export function h2cRequestFrom(request: IncomingMessage): H2cRequest | undefined {
  const { method = "GET", url = "/", rawHeaders } = request;
  const [encoded, ...more] = headerValues(rawHeaders, "http2-settings");
  const listed = headerValues(rawHeaders, "connection").join(",").toLowerCase().split(",");
  const aboutConnection = new Set(listed.map((name) => name.trim()));
  const isListed = aboutConnection.has("http2-settings");
  if (encoded === undefined || more.length > 0 || !isListed) return undefined;
  const settings = Buffer.from(encoded, "base64url");
  const isWhole = BASE64_URL.test(encoded) && encoded.length % 4 !== 1 && settings.length % SETTING_BYTES === 0;
  const path = url === "*" ? url : pathOf(url);
  if (!isWhole || path === undefined) return undefined;
  const fields = [literal(":method", method), literal(":scheme", "http"), literal(":path", path)];
  const authority = headerValue(rawHeaders, "host") ?? "";
  if (authority !== "") fields.push(literal(":authority", authority));
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] ?? "").toLowerCase();
    if (!LEFT_OUT.has(name) && !aboutConnection.has(name)) fields.push(literal(name, rawHeaders[i + 1] ?? ""));
  }
  const block = Buffer.concat(fields);
  if (block.length > MAX_FRAME_BYTES) return undefined;
  return { settings, headers: frame(HEADERS_FRAME, END_STREAM | END_HEADERS, 1, block) };
}

/**
 * Puts the request that asked for the upgrade where HTTP/2 would have it: behind the preface and the first SETTINGS frame,
 * which takes up what the request said, so that there is one frame to acknowledge, as the client expects.
 *
 * @param begun what the client has sent since it was told that HTTP/2 is spoken.
 * @returns undefined while too little of it has come. What is no beginning of HTTP/2 comes back as it is.
 */
export function withFirstRequest({ settings, headers }: H2cRequest, begun: Buffer): Buffer | undefined {
  const isPreface = isHttp2Preface(begun);
  if (isPreface === false) return begun;
  const head = begun.subarray(PREFACE.length, PREFACE.length + FRAME_HEAD_BYTES);
  if (isPreface === undefined || head.length < FRAME_HEAD_BYTES) return undefined;
  const length = head.readUIntBE(0, 3);
  // Not an acknowledgement: there is nothing yet that it could be of.
  const isSettings = head[3] === SETTINGS_FRAME && head[4] === 0 && head.readUInt32BE(5) === 0;
  if (!isSettings || length + settings.length > MAX_FRAME_BYTES) return begun;
  const end = PREFACE.length + FRAME_HEAD_BYTES + length;
  if (begun.length < end) return undefined;
  const payload = Buffer.concat([settings, begun.subarray(PREFACE.length + FRAME_HEAD_BYTES, end)]);
  return Buffer.concat([PREFACE, frame(SETTINGS_FRAME, 0, 0, payload), headers, begun.subarray(end)]);
}

function pathOf(url: string): string | undefined {
  const place = splitRequestTarget(url);
  if (place === undefined) return undefined;
  return place.query === undefined ? place.path : `${place.path}?${place.query}`;
}

/** RFC 9113 4.1 */
function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(FRAME_HEAD_BYTES);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A literal header field without indexing, its name and value in plain text. RFC 7541 6.2.2 */
function literal(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.of(0), ...stringLiteral(name), ...stringLiteral(value)]);
}

/** RFC 7541 5.2; the length has a prefix of seven bits (5.1). */
function stringLiteral(text: string): [length: Buffer, text: Buffer] {
  const prefix = 0x7f;
  if (text.length < prefix) return [Buffer.of(text.length), Buffer.from(text, "latin1")];
  const length = [prefix];
  let rest = text.length - prefix;
  for (; rest >= 0x80; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
  return [Buffer.of(...length, rest), Buffer.from(text, "latin1")];
}
