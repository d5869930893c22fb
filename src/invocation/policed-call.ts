import { discard, whenUsedUp } from "../core/body.ts";
import type { CallSignal } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";
import { CallError } from "../core/errors.ts";
import { isEventStream } from "../core/event-stream.ts";
import { GRPC_CODE } from "../core/grpc-code.ts";
import type { RequestMessage, ResponseMessage } from "../core/message.ts";
import { headerValue } from "../core/raw-headers.ts";
import { type Failure, runWithPolicy } from "../resiliency/policy-runner.ts";
import type { CallPolicy } from "../resiliency/resiliency-policies.ts";
import { mayRepeat, type Replay, reachOf } from "./replay.ts";

/** A call that resiliency policies are for. */
export interface PolicedCall {
  readonly policy: CallPolicy;
  readonly replay: Replay;
  readonly clock: Clock;
  /** @param signal fires as the request's does, and when the time for one try is over. */
  attempt(signal: CallSignal): Promise<ResponseMessage>;
}

/**
 * Makes the call under its policy. A failure is an error, an HTTP status below 200 or above 399 (A3), and the status of a
 * gRPC app that is not OK.
 *
 * @throws as `runWithPolicy` does.
 */
export function callUnderPolicy(call: PolicedCall): Promise<ResponseMessage> {
  const { policy, replay, clock } = call;
  const { request } = replay;
  return runWithPolicy<ResponseMessage>({
    policy,
    clock,
    signal: request.signal,
    random: Math.random,
    attempt: (signal) => call.attempt(signal),
    failureIn: (response) => failureIn(response, clock),
    failureOf: (error) => ({ code: codeOf(error), ...reachOf(error) }),
    mayRepeat: ({ nothingSent = false, isUnavailable = false }) => mayRepeat(replay, { nothingSent, isUnavailable }),
    discard: ({ body }) => {
      discard(body);
    },
    onRetry: (retry, pauseMs) => {
      request.span?.event("retry", { "dapr.retry": retry, "dapr.retry.pause_ms": pauseMs });
    },
    whenUsed: (response, done) => {
      whenUsed(request, response, done);
    },
  });
}

function failureIn({ status, headers, body, trailers }: ResponseMessage, clock: Clock): Failure | undefined {
  if (trailers !== undefined) {
    // Of an answer that streams, the status is yet to come, when nothing can be done again any more.
    const isHere = body === undefined || body instanceof Uint8Array;
    const code = isHere ? Number(headerValue(trailers(), "grpc-status") ?? GRPC_CODE.OK) : GRPC_CODE.OK;
    return code === GRPC_CODE.OK ? undefined : { code: { protocol: "grpc", code } };
  }
  // 101 is no failure: the connection is now somebody else's.
  if (status === 101 || (status >= 200 && status <= 399)) return undefined;
  const retryAfter = headerValue(headers, "retry-after");
  const code = { protocol: "http", code: status } as const;
  return { code, retryAfterMs: retryAfter === undefined ? undefined : retryAfterMs(retryAfter, clock) };
}

/** RFC 9110 10.2.3: seconds, or a date. Undefined for anything else. */
function retryAfterMs(text: string, clock: Clock): number | undefined {
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  // RFC 9110 5.6.7; `Date.parse` takes nearly anything for a date.
  const at = /^[A-Za-z]{3,9}[, ].* (?:GMT|\d{4})$/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - clock.now());
}

/** daprd's errors are statuses of gRPC, which `matching.gRPCStatusCodes` speaks of. */
function codeOf(error: unknown): Failure["code"] {
  if (!(error instanceof CallError) || error.code === undefined) return undefined;
  return { protocol: "grpc", code: error.grpcCode };
}

/** The time of a try covers its answer's body, as in daprd, but not what is meant to stay open. */
function whenUsed(
  { upgrade, headers: asked, grpc }: RequestMessage,
  response: ResponseMessage,
  done: () => void,
): void {
  const { body, headers } = response;
  const isLive =
    upgrade !== undefined || isEventStream(headers) || (grpc === true && headerValue(asked, "dapr-stream") === "true");
  if (isLive) done();
  else whenUsedUp(body, done);
}
