import { discard } from "../../core/body.ts";
import { messageOf } from "../../core/errors.ts";
import { GRPC_CODE, grpcCodeIn } from "../../core/grpc-code.ts";
import type { ResponseMessage } from "../../core/message.ts";
import { headerValue } from "../../core/raw-headers.ts";
import { NO_STATUS, statusOfForeign } from "./answer-status.ts";
import type { GrpcCall } from "./grpc-call.ts";
import { GrpcError, type GrpcStatus, statusTrailers } from "./status.ts";

/**
 * Answers a proxied call with what the far side has answered, message by message and as it is. It always ends in a status:
 * one of our own where the far side breaks off, or has not answered in gRPC.
 *
 * @param added metadata of our own.
 */
export function relayAnswer(call: GrpcCall, response: ResponseMessage, added: readonly string[] = []): void {
  const { headers, body } = response;
  const foreign = statusOfForeign(response);
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

function hasStatus(headers: readonly string[]): boolean {
  return headerValue(headers, "grpc-status") !== undefined;
}

/** The messages that have passed are the caller's; behind them stands why there are no more. */
function statusOfBroken(error: Error): GrpcStatus {
  if (error instanceof GrpcError) return error.status;
  const code = grpcCodeIn(error) ?? GRPC_CODE.UNAVAILABLE;
  return { code, message: `the answer broke off: ${messageOf(error)}` };
}
