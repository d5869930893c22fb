import { type AppId, type AppIdentity, type Namespace, qualifiedName } from "../../core/app-id.ts";
import type { CallRecord } from "../../core/call-observer.ts";
import { messageOf } from "../../core/errors.ts";
import { GRPC_CODE, grpcCodeIn } from "../../core/grpc-code.ts";
import { headerValue } from "../../core/raw-headers.ts";
import { traceIdOf } from "../../core/trace-context.ts";
import { preparedMetadata } from "../../invocation/forward-headers.ts";
import { whenEnded } from "../../invocation/grpc-ending.ts";
import type { ReceivedCall } from "../../invocation/ports.ts";
import { statusOfProxied } from "../grpc/error-status.ts";
import type { GrpcCall } from "../grpc/grpc-call.ts";
import { refuseOtherPaths } from "../grpc/proxy.ts";
import { relayAnswer } from "../grpc/relay-answer.ts";
import { grpcError } from "../grpc/status.ts";
import { codeOf } from "./peer-reception.ts";
import type { PeerServerParts } from "./peer-server.ts";
import {
  ASKS_FOR_PROOF,
  CALLER_NAMESPACE_HEADER,
  ERROR_HEADER,
  NOT_THIS_APP,
  PROOF_HEADER,
  TARGET_HEADER,
} from "./peer-wire.ts";

/**
 * The callee's end of proxying: a call of gRPC as the app will get it, in the form in which daprd proxies, with
 * `dapr-callee-app-id`. Another Outrigger names its target as on the lean peer hop besides, and is told errors of the
 * receiver in a way in which it can tell them from the app's.
 */
export class ProxiedCalls {
  readonly #parts: PeerServerParts;

  constructor(parts: PeerServerParts) {
    this.#parts = parts;
  }

  /** @throws {GrpcError} to a daprd: what its caller is to be told. */
  async handle(call: GrpcCall): Promise<void> {
    const target = headerValue(call.metadata, TARGET_HEADER);
    if (target === undefined) this.#refuseMisdirected(call);
    else if (target !== this.#name && target !== this.#name + ASKS_FOR_PROOF) {
      const message = `this is the sidecar of ${this.#name}, the call is for ${target.replace(ASKS_FOR_PROOF, "")}`;
      call.fail({ code: GRPC_CODE.UNAVAILABLE, message }, [], [ERROR_HEADER, NOT_THIS_APP]);
      return;
    }
    refuseOtherPaths(call.path);
    await this.#receive(call, target);
  }

  get #name(): string {
    return qualifiedName(this.#parts.self);
  }

  async #receive(call: GrpcCall, target: string | undefined): Promise<void> {
    const { clock, log, receiver } = this.#parts;
    const startedAt = clock.monotonic();
    const received = this.#received(call);
    try {
      const response = await receiver.receive(received);
      whenEnded(response, call.signal, (code, error) => {
        this.#report(received, startedAt, response.status, code, error);
      });
      relayAnswer(call, response, target?.endsWith(ASKS_FOR_PROOF) === true ? [PROOF_HEADER, this.#name] : []);
    } catch (error) {
      const code = grpcCodeIn(error) ?? (call.signal.aborted ? GRPC_CODE.CANCELLED : GRPC_CODE.INTERNAL);
      this.#report(received, startedAt, 500, code, messageOf(error));
      if (!call.isAnswerable) return;
      call.fail(statusOfProxied(call, error, log), [], target === undefined ? [] : [ERROR_HEADER, codeOf(error)]);
    }
  }

  /** The receiver holds the messages to the limit, so that it is the same for neighbours. */
  #received({ path, metadata, body, signal, deadline }: GrpcCall): ReceivedCall {
    const request = {
      method: "POST",
      path,
      query: undefined,
      headers: preparedMetadata(metadata),
      body,
      contentLength: undefined,
      signal,
      grpc: true,
    } as const;
    return {
      caller: callerOf(metadata),
      // Only the certificate of mTLS could prove it.
      identity: undefined,
      request: deadline === undefined ? request : { ...request, deadline },
    };
  }

  /** daprd finds a sidecar by its address, which somebody else may have by now. UNAVAILABLE has it look again. */
  #refuseMisdirected({ metadata }: GrpcCall): void {
    const callee = headerValue(metadata, "dapr-callee-app-id") ?? headerValue(metadata, "dapr-app-id");
    if (callee === undefined) {
      throw grpcError("UNKNOWN", "cannot proxy request: missing dapr-callee-app-id or dapr-app-id metadata");
    }
    if (callee === this.#parts.self.id || callee === this.#name) return;
    throw grpcError("UNAVAILABLE", `this is the sidecar of ${this.#name}, the call is for ${callee}`);
  }

  #report(
    { caller, request }: ReceivedCall,
    startedAt: number,
    status: number,
    grpcStatus: number,
    error: string | undefined,
  ): void {
    const record: CallRecord = {
      direction: "received",
      caller,
      target: this.#parts.self.id,
      method: request.method,
      path: request.path,
      status,
      grpcStatus,
      durationMs: this.#parts.clock.monotonic() - startedAt,
      traceId: traceIdOf(headerValue(request.headers, "traceparent") ?? ""),
      error,
    };
    this.#parts.observer.callEnded(record);
  }
}

/** A daprd does not say its namespace here. Proved by nothing until there is mTLS. */
function callerOf(metadata: readonly string[]): AppIdentity | undefined {
  const id = headerValue(metadata, "dapr-caller-app-id");
  const namespace = headerValue(metadata, CALLER_NAMESPACE_HEADER) ?? headerValue(metadata, "dapr-caller-namespace");
  if (id === undefined || namespace === undefined) return undefined;
  return { id: id as AppId, namespace: namespace as Namespace };
}
