import { statusOf } from "../grpc/error-status.ts";
import { GrpcCall } from "../grpc/grpc-call.ts";
import { isGrpc } from "../grpc/is-grpc.ts";
import { answer } from "../http/answer.ts";
import type { HttpExchange } from "../http/http-exchange.ts";
import type { PeerReception } from "./peer-reception.ts";
import type { PeerServerParts } from "./peer-server.ts";
import { ProxiedCalls } from "./proxied-calls.ts";
import { SERVICE, ServiceInvocationServer } from "./service-invocation-server.ts";

/**
 * What comes to the internal port over HTTP/2: daprd's own service, `dapr.proto.internals.v1.ServiceInvocation`, and calls
 * of any other service, which are for the app (A5).
 */
export class GrpcPeerServer {
  readonly #parts: PeerServerParts;
  readonly #serviceInvocation: ServiceInvocationServer;
  readonly #proxied: ProxiedCalls;

  constructor(parts: PeerServerParts, reception: PeerReception) {
    this.#parts = parts;
    this.#serviceInvocation = new ServiceInvocationServer(parts, reception);
    this.#proxied = new ProxiedCalls(parts);
  }

  async handle(exchange: HttpExchange): Promise<void> {
    if (!isGrpc(exchange)) {
      answer(exchange, 415, {
        type: "text/plain; charset=utf-8",
        text: "this port is for the sidecars of other apps\n",
      });
      return;
    }
    const { clock, log, maxMessageBytes } = this.#parts;
    const call = new GrpcCall(exchange, maxMessageBytes, clock);
    try {
      await this.#route(call);
    } catch (error) {
      if (call.isAnswerable) call.fail(statusOf(error, log));
    }
  }

  async #route(call: GrpcCall): Promise<void> {
    const [, service, method = ""] = call.path.split("/");
    if (service === SERVICE) {
      await this.#serviceInvocation.handle(call, method);
      return;
    }
    await this.#proxied.handle(call);
  }
}
