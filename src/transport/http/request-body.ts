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
  if (contentLength > maxBytes) throw tooLarge(contentLength, maxBytes);
  return contentLength > BUFFERED_BYTES ? exchange.streamBody(maxBytes) : exchange.readBody();
}

function tooLarge(length: number, maxBytes: number): OutriggerError {
  return new OutriggerError(
    "bodyTooLarge",
    `the request body has ${length} bytes, more than --max-body-size allows (${maxBytes})`,
  );
}
