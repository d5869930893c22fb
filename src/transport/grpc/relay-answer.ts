import http from "node:http";
import { messageOf } from "../../core/errors.ts";
import { GRPC_CODE, type GrpcCodeName, grpcCodeIn } from "../../core/grpc-code.ts";
import type { Body, ResponseMessage } from "../../core/message.ts";
import { headerValue } from "../../core/raw-headers.ts";
import type { GrpcCall } from "./grpc-call.ts";
import { isGrpcType } from "./is-grpc.ts";
import { GrpcError, type GrpcStatus, statusTrailers } from "./status.ts";

/**
 * Answers a proxied call with what the far side has answered, message by message and as it is. It always ends in a status:
 * one of our own where the far side breaks off, or has not answered in gRPC.
 *
 * @param added metadata of our own.
 */
export function relayAnswer(call: GrpcCall, response: ResponseMessage, added: readonly string[] = []): void {
  const { headers, body } = response;
  const foreign = whyNotGrpc(response);
  if (foreign !== undefined) {
    discard(body);
    call.fail(foreign, [], added);
    return;
  }
  const trailers = response.trailers ?? (() => []);
  const whole = [...headers, ...added];
  if (body === undefined) {
    if (hasStatus(headers)) call.relay(whole, undefined, undefined);
    else call.fail(NO_STATUS, [], added);
    return;
  }
  // Reset together with its head.
  if (!(body instanceof Uint8Array) && body.errored !== null) {
    call.fail(statusOfBroken(body.errored), [], added);
    return;
  }
  call.relay(whole, body, {
    complete: () => {
      const sent = trailers();
      return hasStatus(sent) ? sent : [...sent, ...statusTrailers(NO_STATUS)];
    },
    broken: (error) => statusTrailers(statusOfBroken(error)),
  });
}

/** What was asked for is not wanted any more. */
export function discard(body: Body): void {
  if (body !== undefined && !(body instanceof Uint8Array)) body.destroy();
}

// As grpc-go says it.
const NO_STATUS: GrpcStatus = {
  code: GRPC_CODE.INTERNAL,
  message: "server closed the stream without sending trailers",
};

function hasStatus(headers: readonly string[]): boolean {
  return headerValue(headers, "grpc-status") !== undefined;
}

/** The messages that have passed are the caller's; behind them stands why there are no more. */
function statusOfBroken(error: Error): GrpcStatus {
  if (error instanceof GrpcError) return error.status;
  const code = grpcCodeIn(error) ?? GRPC_CODE.UNAVAILABLE;
  return { code, message: `the answer broke off: ${messageOf(error)}` };
}

// gRPC, doc/http-grpc-status-mapping.md. Anything else is UNKNOWN.
const CODES: Readonly<Record<number, GrpcCodeName>> = {
  400: "INTERNAL",
  401: "UNAUTHENTICATED",
  403: "PERMISSION_DENIED",
  404: "UNIMPLEMENTED",
  429: "UNAVAILABLE",
  502: "UNAVAILABLE",
  503: "UNAVAILABLE",
  504: "UNAVAILABLE",
};

function whyNotGrpc({ status, headers }: ResponseMessage): GrpcStatus | undefined {
  const type = headerValue(headers, "content-type");
  const isTyped = type !== undefined && isGrpcType(type);
  if (isTyped && (status === 200 || hasStatus(headers))) return undefined;
  const what = `unexpected HTTP status code received from server: ${status} (${http.STATUS_CODES[status] ?? ""})`;
  const why =
    type === undefined
      ? "; malformed header: missing HTTP content-type"
      : `; received unexpected content-type "${type}"`;
  return { code: GRPC_CODE[CODES[status] ?? "UNKNOWN"], message: isTyped ? what : what + why };
}
