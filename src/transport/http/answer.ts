import type { ServerResponse } from "node:http";
import { Readable } from "node:stream";
import type { ResponseMessage } from "../../core/message.ts";
import { type RawHeaders, withoutHeaders } from "../../core/raw-headers.ts";
import type { HttpExchange } from "./http-listener.ts";

/** Writes answers: a head and bytes, or a head and a stream that may break. */

const NO_BODY = new Set([204, 304]);
// What Node does not write in a status line (RFC 9112 4: the reason phrase); an app's may be anything.
const UNWRITABLE = /[^\t\x20-\x7e\x80-\xff]/;
const LINGER_MS = 10_000;

/** A whole answer. `extra` are further headers, in a flat list. */
export function answer(
  exchange: HttpExchange,
  status: number,
  content: { readonly type: string; readonly text: string } | undefined,
  extra: readonly string[] = [],
): void {
  const headers: RawHeaders = [];
  if (content !== undefined) {
    headers.push("Content-Type", content.type);
    headers.push("Content-Length", String(Buffer.byteLength(content.text)));
  }
  headers.push(...extra);
  lingerFor(exchange);
  writeHead(exchange, status, "", headers);
  exchange.response.end(content?.text);
}

/**
 * Passes on an answer as it arrives. Where its body breaks, so does the connection: the caller must never see an end
 * that looks like one.
 */
export function relay(exchange: HttpExchange, message: ResponseMessage, extra: readonly string[]): void {
  const { response } = exchange;
  const { body, status } = message;
  // RFC 9110 8.6: a 204 has no length, whatever the app said.
  const headers =
    status === 204 ? withoutHeaders(message.headers, (name) => name === "content-length") : message.headers;
  lingerFor(exchange);
  try {
    writeHead(exchange, status, message.statusText, [...headers, ...extra]);
  } catch (error) {
    // A header that Node refuses to write: the answer cannot be passed on, and must not be left unread.
    if (body instanceof Readable) body.destroy();
    throw error;
  }
  if (body === undefined || NO_BODY.has(status)) {
    response.end();
    // Read, not cut: there is nothing in it, and its connection can be used again.
    if (body instanceof Readable) body.resume();
  } else if (body instanceof Uint8Array) {
    response.end(body);
  } else {
    relayStream(body, response);
  }
}

function relayStream(body: Readable, response: ServerResponse): void {
  if (body.errored !== null) {
    breakOff(response);
    return;
  }
  body.once("error", () => {
    breakOff(response);
  });
  response.once("close", () => {
    body.destroy();
  });
  body.pipe(response);
  // The head goes out with the first bytes, in one write; where those keep the caller waiting, alone.
  setImmediate(() => {
    if (!response.writableEnded && !response.destroyed) response.flushHeaders();
  });
}

function breakOff(response: ServerResponse): void {
  // Only a reset tells a caller whose answer is ended by the connection's end that this was not the end.
  if (response.req.httpVersion === "1.0") response.socket?.resetAndDestroy();
  response.destroy();
}

function writeHead(exchange: HttpExchange, status: number, statusText: string, headers: RawHeaders): void {
  const all = exchange.isClosing() ? [...headers, "Connection", "close"] : headers;
  if (statusText === "" || UNWRITABLE.test(statusText)) exchange.response.writeHead(status, all);
  else exchange.response.writeHead(status, statusText, all);
}

/**
 * An answer may come before the request has arrived whole. What is left of it is read and thrown away, so that a client
 * that writes all before it reads gets to see the answer; one that goes on for ever is cut off.
 */
function lingerFor({ request, response }: HttpExchange): void {
  if (request.complete) return;
  response.once("finish", () => {
    if (request.complete) return;
    const tooLong = setTimeout(() => request.socket.destroy(), LINGER_MS);
    request.once("close", () => {
      clearTimeout(tooLong);
    });
    request.unpipe();
    request.on("data", () => undefined);
    request.resume();
  });
}
