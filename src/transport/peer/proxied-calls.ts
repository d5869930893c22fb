import type { RequestMessage } from "../../core/message.ts";
import { headerValue } from "../../core/raw-headers.ts";
import { requestMetadataFromPeer } from "../../invocation/forward-headers.ts";
import type { GrpcPortParts } from "../grpc/dispatch.ts";
import { statusOfProxied } from "../grpc/error-status.ts";
import type { GrpcCall } from "../grpc/grpc-call.ts";
import { refuseOtherPaths } from "../grpc/proxy.ts";
import { relayAnswer } from "../grpc/relay-answer.ts";
import { grpcError } from "../grpc/status.ts";
import { callerOf, errorName, type PeerReception } from "./peer-reception.ts";
import { CALLER_NAMESPACE_HEADER, ERROR_HEADER, TARGET_HEADER, unsentHeaders } from "./peer-wire.ts";

/**
 * The callee's end of proxying: a call of gRPC as the app will get it, in the form in which daprd proxies, with
 * `dapr-callee-app-id`. Another Outrigger names its target as on the lean peer hop besides, and is told errors of the
 * receiver in a way in which it can tell them from the app's.
 */
export class ProxiedCalls {
  readonly #parts: GrpcPortParts;
  readonly #reception: PeerReception;

  constructor(parts: GrpcPortParts, reception: PeerReception) {
    this.#parts = parts;
    this.#reception = reception;
  }

  /** Answers the call, with a status where it fails. */
  async handle(call: GrpcCall): Promise<void> {
    const startedAt = this.#parts.clock.monotonic();
    const target = headerValue(call.metadata, TARGET_HEADER);
    const proof = this.#reception.proofFor(target);
    try {
      this.#reception.refuseStranger(target, target ?? calleeIn(call));
      refuseOtherPaths(call.path);
      const request = requestIn(call);
      const caller = callerOf(request.headers, headerValue(call.metadata, CALLER_NAMESPACE_HEADER));
      const response = await this.#reception.receive(request, startedAt, caller);
      relayAnswer(call, response, proof);
    } catch (error) {
      if (!call.isAnswerable) return;
      const told = target === undefined ? [] : [ERROR_HEADER, errorName(error), ...unsentHeaders(error), ...proof];
      call.fail(statusOfProxied(call, error, this.#parts.log), [], told);
    }
  }
}

/** The receiver holds the messages to the limit, so that it is the same for neighbours. */
function requestIn({ path, metadata, body, signal, deadline }: GrpcCall): RequestMessage {
  const request = {
    method: "POST",
    path,
    query: undefined,
    headers: requestMetadataFromPeer(metadata),
    body,
    contentLength: undefined,
    signal,
    grpc: true,
  } as const;
  return deadline === undefined ? request : { ...request, deadline };
}

/** Whom a daprd calls. @throws {GrpcError} UNKNOWN, where that is not said. */
function calleeIn({ metadata }: GrpcCall): string {
  const callee = headerValue(metadata, "dapr-callee-app-id") ?? headerValue(metadata, "dapr-app-id");
  if (callee !== undefined) return callee;
  throw grpcError("UNKNOWN", "cannot proxy request: missing dapr-callee-app-id or dapr-app-id metadata");
}
