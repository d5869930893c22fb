import { OutriggerError } from "../../core/errors.ts";
import type { Body } from "../../core/message.ts";
import { gatheredBody } from "./gathered-body.ts";
import type { HttpExchange } from "./http-exchange.ts";

// Up to here a body is read before the call begins: it goes out in one write, and a retry can send it again. Above, it
// streams, so that memory does not grow with bodies; A3 says what daprd buffers.
const BUFFERED_BYTES = 64 * 1024;

/**
 * @param maxBytes `--max-body-size`.
 * @throws {OutriggerError} bodyTooLarge where the announced length is over the limit.
 * @throws where the client goes away while a short body is read.
 */
export async function requestBodyOf(exchange: HttpExchange, maxBytes: number): Promise<Body> {
  const { contentLength } = exchange;
  if (contentLength === 0) return undefined;
  if (contentLength === undefined) return gatheredBody(exchange.streamBody(maxBytes), BUFFERED_BYTES);
  if (contentLength > maxBytes) throw bodyTooLarge(maxBytes, contentLength);
  return contentLength > BUFFERED_BYTES ? exchange.streamBody(maxBytes) : exchange.readBody();
}

/** @param length undefined where the body has not said how long it is. */
export function bodyTooLarge(maxBytes: number, length?: number): OutriggerError {
  const has = length === undefined ? "more bytes" : `${length} bytes, more`;
  return new OutriggerError("bodyTooLarge", `the request body has ${has} than --max-body-size allows (${maxBytes})`);
}
