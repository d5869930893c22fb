import type { Clock } from "../../core/clock.ts";
import { GRPC_CODE } from "../../core/grpc-code.ts";
import { metadataWithTraceparent, traceContextOfMetadata } from "../../core/grpc-trace-bin.ts";
import type { Logger } from "../../core/logger.ts";
import type { Span } from "../../core/tracer.ts";
import { answer } from "../http/answer.ts";
import type { HttpExchange } from "../http/http-exchange.ts";
import { statusOfFailed } from "./error-status.ts";
import { GrpcCall } from "./grpc-call.ts";
import { isGrpc } from "./is-grpc.ts";
import type { GrpcRequest, GrpcService } from "./service.ts";

/** From an exchange to the method that answers it, on any port that speaks gRPC. */

export interface GrpcPortParts {
  /** `--max-body-size`, of one message. */
  readonly maxMessageBytes: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Answers with what `handle` does or throws.
 *
 * @param notGrpc what to tell whoever does not speak gRPC.
 */
export async function answerGrpc(
  exchange: HttpExchange,
  { maxMessageBytes, clock, log }: GrpcPortParts,
  notGrpc: string,
  handle: (call: GrpcCall) => Promise<void>,
): Promise<void> {
  if (!isGrpc(exchange)) {
    answer(exchange, 415, { type: "text/plain; charset=utf-8", text: notGrpc });
    return;
  }
  const call = new GrpcCall(exchange, maxMessageBytes, clock);
  try {
    await handle(call);
  } catch (error) {
    if (call.isAnswerable) call.fail(statusOfFailed(call, error, log));
  }
}

/** The names of service and method in a path; empty where there is none. */
export function namesIn({ path }: GrpcCall): readonly [service: string, method: string] {
  const [, service = "", method = ""] = path.split("/");
  return [service, method];
}

export async function callMethod(service: GrpcService, method: string, request: GrpcRequest): Promise<void> {
  const handler = service.methods.get(method);
  if (handler !== undefined) await handler(request);
  else request.call.fail({ code: GRPC_CODE.UNIMPLEMENTED, message: unknownMethod(service, method) });
}

/**
 * @param metadata what its handler is to know of the call's.
 * @param span the one that the call goes on under; undefined where there is no tracer.
 */
export function requestOf(call: GrpcCall, metadata: readonly string[] = call.metadata, span?: Span): GrpcRequest {
  if (span === undefined) return { call, metadata, trace: traceContextOfMetadata(call.metadata) };
  const { trace } = span;
  return { call, metadata: metadataWithTraceparent(metadata, trace.traceparent), trace, span };
}

function unknownMethod({ name, explain }: GrpcService, method: string): string {
  const known = `unknown method ${method} for service ${name}`;
  return explain === undefined ? known : `${known}: ${explain(method)}`;
}
