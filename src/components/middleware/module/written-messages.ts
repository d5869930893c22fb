import { Readable } from "node:stream";
import { inspect } from "node:util";
import type { Body, ResponseMessage } from "../../../core/message.ts";
import { type RawHeaders, withoutHeaders } from "../../../core/raw-headers.ts";
import type { MiddlewareRequest } from "../../contract/middleware.ts";

/** What a user's code hands over is looked at here: a mistake is told where it was made, and not where it breaks something. */

/**
 * A request that a module passes on; another body has its own length.
 *
 * @throws {Error} saying what is wrong with it.
 */
export function writtenRequest(passedOn: unknown, received: MiddlewareRequest): MiddlewareRequest {
  if (!isObject(passedOn)) throw new Error("next was called without a request; call next(request)");
  const { method, path, query, headers } = passedOn;
  if (typeof method !== "string" || !/^[!#$%&'*+.^_`|~\w-]+$/.test(method)) {
    throw new Error(`the request's method is ${shown(method)}; it is a verb`);
  }
  if (typeof path !== "string" || !/^\/[!-~]*$/.test(path) || /[?#]/.test(path)) {
    throw new Error(`the request's path is ${shown(path)}; it begins with /, has no query and is percent-encoded`);
  }
  if (query !== undefined && (typeof query !== "string" || !/^[!-~]*$/.test(query) || query.includes("#"))) {
    throw new Error(`the request's query is ${shown(query)}; it is percent-encoded text without ?, or undefined`);
  }
  const body = writtenBody(passedOn["body"], "request");
  // How long it is, is said once, by whoever sends it.
  const kept = withoutHeaders(writtenHeaders(headers, "request"), (name) => BODY_LENGTH.has(name));
  const message = { ...received, method, path, query, headers: kept, body };
  return { ...message, contentLength: lengthOf(body, received) };
}

/**
 * What a module answers: it may leave out what is empty, and have text for a body. What says how long a body of its own is,
 * and how it is sent, is left out: that is said by whoever sends it.
 *
 * @param got what came from behind, where the request was passed on.
 * @throws {Error} saying what is wrong with it.
 */
export function writtenAnswer(answer: unknown, got: ResponseMessage | undefined): ResponseMessage {
  if (!isObject(answer)) throw new Error(`handle answered ${shown(answer)}; return what next gave, or { status }`);
  const { status, statusText = "", headers = [] } = answer;
  const isSwitched = answer["upgrade"] !== undefined && status === 101;
  if (!isSwitched && (!Number.isInteger(status) || Number(status) < 200 || Number(status) > 599)) {
    throw new Error(`the answer's status is ${shown(status)}; it is a number from 200 to 599`);
  }
  if (typeof statusText !== "string") throw new Error(`the answer's statusText is ${shown(statusText)}; it is text`);
  const body = writtenBody(answer["body"], "answer");
  const all = writtenHeaders(headers, "answer");
  const isItsOwn = !isSwitched && body !== got?.body;
  const kept = isItsOwn ? withoutHeaders(all, (name) => FRAMING.has(name)) : all;
  return { ...answer, status: Number(status), statusText, headers: kept, body };
}

// RFC 9112 6.3: of two answers to where a body ends, an app may believe the one and its proxy the other.
const BODY_LENGTH: ReadonlySet<string> = new Set(["content-length", "transfer-encoding"]);
const FRAMING: ReadonlySet<string> = new Set([...BODY_LENGTH, "connection", "keep-alive"]);

function lengthOf(body: Body, received: MiddlewareRequest): number | undefined {
  if (body === undefined) return 0;
  if (body instanceof Uint8Array) return body.byteLength;
  return body === received.body ? received.contentLength : undefined;
}

function writtenHeaders(headers: unknown, of: string): RawHeaders {
  if (Array.isArray(headers) && headers.length % 2 === 0 && headers.every((part) => typeof part === "string")) {
    return headers;
  }
  throw new Error(
    `the ${of}'s headers are ${shown(headers)}; they are a flat list: ["Name", "value", "Other", "value"]`,
  );
}

function writtenBody(body: unknown, of: string): Body {
  if (typeof body === "string") return Buffer.from(body);
  if (body === undefined || body instanceof Uint8Array || body instanceof Readable) return body;
  throw new Error(`the ${of}'s body is ${shown(body)}; it is a Uint8Array, a Readable, text or undefined`);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

/** A value, for an error text. */
function shown(value: unknown): string {
  const text = inspect(value, { depth: 1, breakLength: Number.POSITIVE_INFINITY });
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
