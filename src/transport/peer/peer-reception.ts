import { type AppId, type AppIdentity, type Namespace, qualifiedName } from "../../core/app-id.ts";
import type { CallObserver, CallRecord } from "../../core/call-observer.ts";
import type { Clock } from "../../core/clock.ts";
import { CallError, ERRORS, messageOf } from "../../core/errors.ts";
import { visible } from "../../core/go-json.ts";
import { GRPC_CODE, grpcCodeIn, type StatusCode } from "../../core/grpc-code.ts";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import { headerValue } from "../../core/raw-headers.ts";
import { traceIdOf } from "../../core/trace-context.ts";
import type { Tracer } from "../../core/tracer.ts";
import { whenEnded } from "../../invocation/grpc-ending.ts";
import { beginReceived, endAnswered, endFailed } from "../../invocation/received-span.ts";
import type { Receiver } from "../../invocation/receiver.ts";
import { ASKS_FOR_PROOF, NOT_THIS_APP, PROOF_HEADER } from "./peer-wire.ts";

export interface PeerReceptionParts {
  readonly self: AppIdentity;
  readonly receiver: Pick<Receiver, "receive">;
  readonly observer: CallObserver;
  /** Undefined where traces are only passed on. */
  readonly tracer: Tracer | undefined;
  readonly clock: Clock;
}

/** Where every door of the internal port ends: calls from other processes on their way to the receiver, on any wire. */
export class PeerReception {
  readonly #parts: PeerReceptionParts;
  /** As callers name the app, and as those do who want proof. */
  readonly #name: string;
  readonly #nameToProve: string;

  constructor(parts: PeerReceptionParts) {
    this.#parts = parts;
    this.#name = qualifiedName(parts.self);
    this.#nameToProve = this.#name + ASKS_FOR_PROOF;
  }

  /**
   * A port can pass to another process, and whose it was has been looked up a while ago: the caller is to look again.
   *
   * @param target the call's `outrigger-target`.
   * @param wanted whom the call is for, where a daprd says it, which knows of no target.
   * @throws {NotThisApp}
   */
  refuseStranger(target: string | undefined, wanted: string | undefined): void {
    if (target === undefined) {
      if (wanted !== this.#parts.self.id && wanted !== this.#name) throw this.#notThisApp(wanted);
    } else if (target !== this.#name && target !== this.#nameToProve) throw this.#notThisApp(target);
  }

  /** Who answers, for a caller whose `outrigger-target` asks for it; also whom the call was not for. */
  proofFor(target: string | undefined): readonly string[] {
    return target?.endsWith(ASKS_FOR_PROOF) === true ? [PROOF_HEADER, this.#name] : NO_PROOF;
  }

  /**
   * Reports the call, however it ends; one of gRPC at its end, for only then its status is known.
   *
   * @param startedAt when its head was there, of the monotonic clock.
   * @throws what the receiver throws.
   */
  async receive(
    arrived: RequestMessage,
    startedAt: number,
    caller: AppIdentity | undefined = callerOf(arrived.headers),
  ): Promise<ResponseMessage> {
    const { receiver, self, tracer } = this.#parts;
    const request = tracer === undefined ? arrived : beginReceived(tracer, self.id, arrived);
    try {
      // Only the certificate of mTLS could prove who it is.
      const response = await receiver.receive({ caller, identity: undefined, request });
      if (request.grpc === undefined) this.#report(request, caller, startedAt, response.status, undefined);
      else {
        whenEnded(response, request.signal, (code, error) => {
          this.#report(request, caller, startedAt, response.status, error, code);
        });
      }
      endAnswered(request, response);
      return response;
    } catch (error) {
      endFailed(request, error);
      const code = request.grpc === undefined ? undefined : endOf(request, error);
      this.#report(request, caller, startedAt, statusFor(error), messageOf(error), code);
      throw error;
    }
  }

  #notThisApp(wanted = "nobody"): NotThisApp {
    return new NotThisApp(
      `this is the sidecar of ${this.#name}, the call is for ${visible(wanted.replace(ASKS_FOR_PROOF, ""))}`,
    );
  }

  #report(
    { method, path, headers }: RequestMessage,
    caller: AppIdentity | undefined,
    startedAt: number,
    status: number,
    error: string | undefined,
    grpcStatus?: number,
  ): void {
    const record: CallRecord = {
      direction: "received",
      caller,
      target: this.#parts.self.id,
      method,
      path,
      status,
      durationMs: this.#parts.clock.monotonic() - startedAt,
      traceId: traceIdOf(headerValue(headers, "traceparent") ?? ""),
      error,
    };
    this.#parts.observer.callEnded(grpcStatus === undefined ? record : { ...record, grpcStatus });
  }
}

const NO_PROOF: readonly string[] = [];

/** The call is for another app: whoever calls is to look again where that is. */
class NotThisApp extends CallError {
  constructor(message: string) {
    super("Unavailable", message);
  }
}

/** As another Outrigger is told it, in `outrigger-error`. */
export function errorName(error: unknown): StatusCode | typeof NOT_THIS_APP {
  if (error instanceof NotThisApp) return NOT_THIS_APP;
  return error instanceof CallError ? (error.code ?? "Internal") : "Internal";
}

/**
 * What the calling sidecar says of its app, on any wire; proved by nothing until there is mTLS.
 *
 * @param headers as forward-headers.ts has prepared them: what an app has said itself is not among them.
 */
export function callerOf(headers: readonly string[], saidNamespace?: string): AppIdentity | undefined {
  const id = headerValue(headers, "dapr-caller-app-id");
  const namespace = saidNamespace ?? headerValue(headers, "dapr-caller-namespace");
  return id === undefined || namespace === undefined
    ? undefined
    : { id: id as AppId, namespace: namespace as Namespace };
}

/** What the calling sidecar makes of it. */
function statusFor(error: unknown): number {
  const isForbidden = errorName(error) === "PermissionDenied";
  return ERRORS[isForbidden ? "invocationForbidden" : "invocationFailed"].httpStatus;
}

function endOf({ signal }: RequestMessage, error: unknown): number {
  return grpcCodeIn(error) ?? (signal.aborted ? GRPC_CODE.CANCELLED : GRPC_CODE.INTERNAL);
}
