import { type AppId, type AppIdentity, type Namespace, qualifiedName } from "../../core/app-id.ts";
import type { CallObserver } from "../../core/call-observer.ts";
import type { Clock } from "../../core/clock.ts";
import { CallError, ERRORS, messageOf } from "../../core/errors.ts";
import { visible } from "../../core/go-json.ts";
import type { StatusCode } from "../../core/grpc-code.ts";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import { headerValue } from "../../core/raw-headers.ts";
import { traceIdOf } from "../../core/trace-context.ts";
import type { Receiver } from "../../invocation/receiver.ts";
import { ASKS_FOR_PROOF } from "./peer-wire.ts";

export interface PeerReceptionParts {
  readonly self: AppIdentity;
  readonly receiver: Receiver;
  readonly observer: CallObserver;
  readonly clock: Clock;
}

/** Calls from other processes on their way to the receiver, whichever wire of the internal port has brought them. */
export class PeerReception {
  readonly #parts: PeerReceptionParts;
  /** As callers name the app, and as those do who want proof. */
  readonly name: string;
  readonly #nameToProve: string;

  constructor(parts: PeerReceptionParts) {
    this.#parts = parts;
    this.name = qualifiedName(parts.self);
    this.#nameToProve = this.name + ASKS_FOR_PROOF;
  }

  /** Whether a call with this `outrigger-target` is for this app. */
  isMeant(target: string | undefined): boolean {
    return target === this.name || target === this.#nameToProve;
  }

  /** Whether whoever calls with this `outrigger-target` is to be told who answers. */
  isToProve(target: string | undefined): boolean {
    return target === this.#nameToProve;
  }

  /** What to answer a call that {@link isMeant} for another. */
  notThisApp(wanted: string): string {
    return `this is the sidecar of ${this.name}, the call is for ${visible(wanted)}`;
  }

  /**
   * Reports the call, however it ends.
   *
   * @param startedAt when its head was there, of the monotonic clock.
   * @throws what the receiver throws.
   */
  async receive(request: RequestMessage, startedAt: number): Promise<ResponseMessage> {
    const { receiver } = this.#parts;
    const caller = callerOf(request.headers);
    try {
      // Only the certificate of mTLS could prove who it is.
      const response = await receiver.receive({ caller, identity: undefined, request });
      this.#report(request, caller, startedAt, response.status, undefined);
      return response;
    } catch (error) {
      this.#report(request, caller, startedAt, statusFor(error), messageOf(error));
      throw error;
    }
  }

  #report(
    { method, path, headers }: RequestMessage,
    caller: AppIdentity | undefined,
    startedAt: number,
    status: number,
    error: string | undefined,
  ): void {
    this.#parts.observer.callEnded({
      direction: "received",
      caller,
      target: this.#parts.self.id,
      method,
      path,
      status,
      durationMs: this.#parts.clock.monotonic() - startedAt,
      traceId: traceIdOf(headerValue(headers, "traceparent") ?? ""),
      error,
    });
  }
}

/** As the peer is told it. */
export function codeOf(error: unknown): StatusCode {
  return error instanceof CallError ? (error.code ?? "Internal") : "Internal";
}

/** What the calling sidecar says of its app; proved by nothing until there is mTLS. */
function callerOf(headers: readonly string[]): AppIdentity | undefined {
  const id = headerValue(headers, "dapr-caller-app-id");
  const namespace = headerValue(headers, "dapr-caller-namespace");
  return id === undefined || namespace === undefined
    ? undefined
    : { id: id as AppId, namespace: namespace as Namespace };
}

/** What the calling sidecar makes of it. */
function statusFor(error: unknown): number {
  const isForbidden = codeOf(error) === "PermissionDenied";
  return ERRORS[isForbidden ? "invocationForbidden" : "invocationFailed"].httpStatus;
}
