import { Readable } from "node:stream";
import type { MiddlewareRequest } from "../../components/contract/middleware.ts";
import { CallError, OutriggerError } from "../../core/errors.ts";
import type { ResponseMessage } from "../../core/message.ts";
import type { RawHeaders } from "../../core/raw-headers.ts";
import type { Pipeline } from "../../invocation/pipeline.ts";
import { type ApiRequest, splitRequestTarget } from "./api-request.ts";
import { BrokenAnswer, type HttpAnswer, type HttpExchange } from "./http-exchange.ts";
import { PipedExchange } from "./piped-exchange.ts";
import { UnopenedBody } from "./unopened-body.ts";

export interface PipedRoute {
  /** What the pipeline is in front of. Its answers, errors among them, go back through the steps. */
  route(request: ApiRequest): void | Promise<void>;
  /** Answers an error of the route's. */
  answerError(exchange: HttpExchange, error: unknown): void;
  /** `--max-body-size`. */
  readonly maxBodyBytes: number;
}

/**
 * Answers a request through `spec.httpPipeline` (A1).
 *
 * @throws {OutriggerError} where a step fails, or its answer cannot be given.
 */
export async function throughPipeline(pipeline: Pipeline, request: ApiRequest, behind: PipedRoute): Promise<void> {
  const { exchange, traceHeaders } = request;
  const body = exchange.contentLength === 0 ? undefined : new UnopenedBody(exchange, behind.maxBodyBytes);
  const progress = { isPassedOn: false };
  try {
    const answer = await pipeline.handle(messageFrom(request, body), (passedOn) => {
      progress.isPassedOn = true;
      return routed(request, passedOn, behind);
    });
    exchange.answer(withoutTrailers(answer, [...answer.headers, ...traceHeaders]));
  } catch (error) {
    throw forCallers(error);
  } finally {
    // Whoever got the request further on may still be reading its body, though the answer has begun.
    if (!progress.isPassedOn) body?.destroy();
  }
}

function messageFrom(request: ApiRequest, body: Readable | undefined): MiddlewareRequest {
  const { exchange, method, path, query, headers } = request;
  const { contentLength, signal, upgrade, remoteAddress } = exchange;
  const message: MiddlewareRequest = { method, path, query, headers: [...headers], body, contentLength, signal };
  const addressed = remoteAddress === undefined ? message : { ...message, remoteAddress };
  return upgrade === undefined ? addressed : { ...addressed, upgrade };
}

async function routed(request: ApiRequest, passedOn: MiddlewareRequest, behind: PipedRoute): Promise<ResponseMessage> {
  const { method, headers } = passedOn;
  const exchange = new PipedExchange(request.exchange, passedOn);
  const { path, query } = splitRequestTarget(exchange.target) ?? { path: "/", query: undefined };
  try {
    // The trace headers come last, whoever has answered.
    await behind.route({ ...request, exchange, method, path, query, headers, traceHeaders: [] });
  } catch (error) {
    if (request.exchange.signal.aborted) throw error;
    behind.answerError(exchange, error);
  }
  return exchange.answered;
}

/** HTTP callers are sent none. */
function withoutTrailers({ status, statusText, body, upgrade }: ResponseMessage, headers: RawHeaders): HttpAnswer {
  const answer: HttpAnswer = { status, statusText, headers, body };
  return upgrade === undefined ? answer : { ...answer, upgrade };
}

function forCallers(error: unknown): unknown {
  if (error instanceof BrokenAnswer) return new OutriggerError("internal", error.message, { cause: error });
  // The pipeline has told the log which step it was.
  if (error instanceof CallError) return new OutriggerError("internal", error.message, { cause: error });
  return error;
}
