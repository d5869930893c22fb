import { METHODS } from "node:http";
import type { RawHeaders } from "../../core/raw-headers.ts";
import type { RefusalStatus } from "../http1/server-connection.ts";

/** A request's head as HTTP/2 carries it, in the form that every other wire gives it. */
export interface Http2RequestHead {
  readonly method: string;
  readonly target: string;
  /** Without pseudo headers; `Host` stands for `:authority`. */
  readonly headers: RawHeaders;
  /** As of the exchange. */
  readonly contentLength: number | undefined;
  /** The client waits to be invited to send its body. */
  readonly expectsContinue: boolean;
}

export interface Refusal {
  readonly status: RefusalStatus;
  readonly reason: string;
}

// As in HTTP/1.1: no fragment, nothing that had to be escaped. Node's HTTP/2 lets both pass.
const TARGET = /^(?:\/[\x21\x22\x24-\x7e]*|\*)$/;
// What a header takes in HTTP/1.1 beside its name and value, so that one limit means the same on both wires.
const HEADER_EXTRA_BYTES = ": \r\n".length;

/**
 * What RFC 9113 8 forbids has been refused by Node (names in upper case, headers about the connection, a second
 * `content-length`); this looks at what would mean something else, or nothing, on the other wires.
 *
 * @param raw a flat list, pseudo headers first.
 * @param endsHere the request has no body.
 * @param maxBytes of the head as HTTP/1.1 would write it.
 */
export function readHttp2Head(raw: readonly string[], endsHere: boolean, maxBytes: number): Http2RequestHead | Refusal {
  const found = collect(raw);
  if (found.bytes > maxBytes) return { status: 431, reason: "the request's headers are over --read-buffer-size" };
  const { method, path, authority, host, headers } = found;
  if (method === "CONNECT") return refused("CONNECT is not supported here");
  if (!METHODS.includes(method)) return refused("the request's method is not known");
  if (!TARGET.test(path)) return refused("the request target is malformed");
  if (authority !== undefined && host !== undefined && authority !== host) {
    return refused("the request names one host in :authority and another in Host");
  }
  headers.unshift("Host", authority ?? host ?? "");
  const { length, expect } = found;
  const contentLength = endsHere ? 0 : length;
  return { method, target: path, headers, contentLength, expectsContinue: expect?.toLowerCase() === "100-continue" };
}

function refused(reason: string): Refusal {
  return { status: 400, reason };
}

interface Collected {
  method: string;
  path: string;
  authority: string | undefined;
  host: string | undefined;
  length: number | undefined;
  expect: string | undefined;
  bytes: number;
  headers: RawHeaders;
}

function collect(raw: readonly string[]): Collected {
  const found: Collected = {
    method: "",
    path: "",
    authority: undefined,
    host: undefined,
    length: undefined,
    expect: undefined,
    bytes: 0,
    headers: [],
  };
  let cookieAt: number | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const value = raw[i + 1] ?? "";
    found.bytes += name.length + value.length + HEADER_EXTRA_BYTES;
    if (name === "cookie" && cookieAt !== undefined) {
      // RFC 9113 8.2.3: crumbs of one cookie header, which is what the other wires know.
      found.headers[cookieAt] = `${found.headers[cookieAt] ?? ""}; ${value}`;
      continue;
    }
    if (name === "cookie") cookieAt = found.headers.length + 1;
    if (!takenApart(found, name, value)) found.headers.push(name, value);
  }
  return found;
}

/** True for what is not one of the headers that are passed on. */
function takenApart(found: Collected, name: string, value: string): boolean {
  switch (name) {
    case ":method":
      found.method = value;
      return true;
    case ":path":
      found.path = value;
      return true;
    case ":authority":
      found.authority = value;
      return true;
    case "host":
      found.host = value;
      return true;
    case "content-length":
      found.length = Number(value);
      return false;
    case "expect":
      found.expect = value;
      return false;
    default:
      return name.startsWith(":");
  }
}
