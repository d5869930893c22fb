import type { IncomingMessage } from "node:http";
import { OutriggerError } from "../../core/errors.ts";
import type { Body } from "../../core/message.ts";
import { limited } from "../body-limit.ts";
import type { HttpExchange } from "./http-listener.ts";

// Up to here a body is read before the call begins: it goes out in one write, and a retry can send it again. Above, it
// streams, so that memory does not grow with bodies; A3 says what daprd buffers.
const BUFFERED_BYTES = 64 * 1024;

export interface RequestBody {
  readonly body: Body;
  /** Undefined where the request has no body, or does not say how long it is. */
  readonly contentLength: number | undefined;
}

/**
 * @param maxBytes `--max-body-size`.
 * @throws {OutriggerError} bodyTooLarge where the announced length is over the limit.
 * @throws where the client goes away while a short body is read.
 */
export async function requestBodyOf(exchange: HttpExchange, maxBytes: number): Promise<RequestBody> {
  const { request } = exchange;
  if (request.headers["transfer-encoding"] !== undefined) {
    exchange.inviteBody();
    return { body: limited(request, maxBytes), contentLength: undefined };
  }
  const contentLength = Number(request.headers["content-length"] ?? 0);
  if (contentLength === 0) return { body: undefined, contentLength: undefined };
  if (contentLength > maxBytes) throw tooLarge(contentLength, maxBytes);
  exchange.inviteBody();
  // Not the request itself: whoever sends the body on may destroy it, and the connection is still to be answered.
  if (contentLength > BUFFERED_BYTES) return { body: limited(request, maxBytes), contentLength };
  return { body: await readAll(request), contentLength };
}

async function readAll(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
}

function tooLarge(length: number, maxBytes: number): OutriggerError {
  return new OutriggerError(
    "bodyTooLarge",
    `the request body has ${length} bytes, more than --max-body-size allows (${maxBytes})`,
  );
}
