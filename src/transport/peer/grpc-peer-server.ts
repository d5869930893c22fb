import { answerGrpc, callMethod, type GrpcPortParts, namesIn, requestOf } from "../grpc/dispatch.ts";
import type { GrpcCall } from "../grpc/grpc-call.ts";
import type { GrpcService } from "../grpc/service.ts";
import type { HttpExchange } from "../http/http-exchange.ts";
import type { PeerReception } from "./peer-reception.ts";
import { ProxiedCalls } from "./proxied-calls.ts";
import { ServiceInvocationServer } from "./service-invocation-server.ts";

/**
 * What comes to the internal port over HTTP/2: daprd's own service, `dapr.proto.internals.v1.ServiceInvocation`, and calls
 * of any other service, which are for the app (A5).
 */
export class GrpcPeerServer {
  readonly #parts: GrpcPortParts;
  readonly #serviceInvocation: GrpcService;
  readonly #proxied: ProxiedCalls;

  constructor(parts: GrpcPortParts, reception: PeerReception) {
    this.#parts = parts;
    this.#serviceInvocation = new ServiceInvocationServer(parts, reception);
    this.#proxied = new ProxiedCalls(parts, reception);
  }

  async handle(exchange: HttpExchange): Promise<void> {
    const notGrpc = "this port is for the sidecars of other apps\n";
    await answerGrpc(exchange, this.#parts, notGrpc, (call) => this.#route(call));
  }

  async #route(call: GrpcCall): Promise<void> {
    const [service, method] = namesIn(call);
    if (service === this.#serviceInvocation.name) await callMethod(this.#serviceInvocation, method, requestOf(call));
    else await this.#proxied.handle(call);
  }
}
