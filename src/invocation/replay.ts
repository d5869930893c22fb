import { CallError, nothingWasSent } from "../core/errors.ts";
import type { RequestMessage } from "../core/message.ts";
import { headerValue } from "../core/raw-headers.ts";
import type { RepeatableBody } from "./ports.ts";

/** What is to be sent, perhaps a second time. */
export interface Replay {
  readonly request: RequestMessage;
  /** Instead of the request's body. */
  readonly body: RepeatableBody | undefined;
  /** `spec.invocation.safeRetries`. */
  readonly safeRetries: boolean;
}

/** How far a call got that has failed. */
export interface Reach {
  /** Whoever was called has got nothing of it. */
  readonly nothingSent: boolean;
  /** The callee's sidecar could not be reached, or went away before it answered. */
  readonly isUnavailable: boolean;
}

export function reachOf(error: unknown): Reach {
  return { nothingSent: nothingWasSent(error), isUnavailable: isUnavailable(error) };
}

export function isUnavailable(error: unknown): error is CallError {
  return error instanceof CallError && error.code === "Unavailable";
}

/** Whether the call can be made once more, and, with `safeRetries`, must not have been made before. */
export function mayRepeat({ request, body, safeRetries }: Replay, reach: Reach): boolean {
  if (!isStillThere(request, body, reach)) return false;
  const { nothingSent } = reach;
  return !safeRetries || nothingSent || isSafe(request) || body?.isUntouched === true;
}

/** The request for one try. */
export function opened({ request, body }: Pick<Replay, "request" | "body">): RequestMessage {
  return body === undefined ? request : { ...request, body: body.open() };
}

/** Whether the request's body is there to be sent. */
function isStillThere(
  { body, contentLength }: RequestMessage,
  repeatable: RepeatableBody | undefined,
  { nothingSent, isUnavailable }: Reach,
): boolean {
  if (repeatable !== undefined) return repeatable.canRepeat;
  if (body === undefined) return true;
  // A3: one of unknown length is never retried. Here it is only where nobody has answered, whether or not it happened to be
  // read whole before it was sent: chance should not count tries.
  if (contentLength === undefined && !nothingSent && !isUnavailable) return false;
  return body instanceof Uint8Array || (!body.readableDidRead && !body.destroyed);
}

const SAFE_VERBS = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

/** What may be done twice (RFC 9110 9.2.2), or says by a key of its own that it is one thing only. */
function isSafe({ method, headers }: RequestMessage): boolean {
  return SAFE_VERBS.has(method) || headerValue(headers, "idempotency-key") !== undefined;
}
