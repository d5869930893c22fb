import { Readable } from "node:stream";
import { CallAbort } from "../../src/core/call-signal.ts";
import type { Clock } from "../../src/core/clock.ts";
import type { Logger } from "../../src/core/logger.ts";
import type { Body, RequestMessage, ResponseMessage } from "../../src/core/message.ts";
import { MalformedAnswers } from "../../src/transport/upstream/malformed-answers.ts";
import type { UpstreamOptions } from "../../src/transport/upstream/upstream.ts";

/** What tests of upstreams need: requests to send, and answers to read. */

export interface Sent {
  readonly method?: string;
  readonly path?: string;
  readonly query?: string;
  readonly headers?: readonly string[];
  readonly body?: Body;
  readonly contentLength?: number;
  readonly signal?: CallAbort;
}

export function requestMessage(sent: Sent = {}): RequestMessage {
  const { method = "GET", path = "/", query, headers = [], body, contentLength, signal = new CallAbort() } = sent;
  const length = contentLength ?? (body instanceof Uint8Array ? body.byteLength : undefined);
  return { method, path, query, headers: [...headers], body, contentLength: length, signal };
}

/** The whole body as latin1. Fails where it breaks. */
export async function textOfAnswer({ body }: ResponseMessage): Promise<string> {
  if (!(body instanceof Readable)) return Buffer.from(body ?? []).toString("latin1");
  let text = "";
  for await (const piece of body as AsyncIterable<Buffer>) text += piece.toString("latin1");
  return text;
}

export function optionsFor(port: number, host = "127.0.0.1"): UpstreamOptions {
  return { host, port, maxConnections: 16, maxHeaderBytes: 64 * 1024 };
}

/** Counts without a word. */
export function countMalformed(): MalformedAnswers {
  const clock: Clock = { now: () => 0, monotonic: () => 0, sleep: () => Promise.resolve() };
  return new MalformedAnswers("test", clock, QUIET);
}

const ignore = (): void => undefined;
export const QUIET: Logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };
