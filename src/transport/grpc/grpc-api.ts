import type { Clock } from "../../core/clock.ts";
import { GRPC_CODE } from "../../core/grpc-code.ts";
import type { Logger } from "../../core/logger.ts";
import { headerValue } from "../../core/raw-headers.ts";
import { traceContextOf } from "../../core/trace-context.ts";
import type { ApiTokens } from "../../security/api-token.ts";
import { answer } from "../http/answer.ts";
import type { HttpExchange } from "../http/http-exchange.ts";
import { statusOf } from "./error-status.ts";
import { GrpcCall } from "./grpc-call.ts";
import { isGrpc } from "./is-grpc.ts";
import type { GrpcService } from "./service.ts";
import { grpcError } from "./status.ts";

export interface GrpcApiParts {
  /** `DAPR_API_TOKEN` and its predecessor. */
  readonly tokens: ApiTokens;
  /** `--max-body-size`. */
  readonly maxMessageBytes: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The gRPC API that the app calls: token, then a service. Proxying is the service of everything else (A5). */
export class GrpcApi {
  readonly #parts: GrpcApiParts;
  readonly #services: ReadonlyMap<string, GrpcService>;

  constructor(parts: GrpcApiParts) {
    this.#parts = parts;
    const services: GrpcService[] = [];
    this.#services = new Map(services.map((service) => [service.name, service]));
  }

  async handle(exchange: HttpExchange): Promise<void> {
    if (!isGrpc(exchange)) {
      const text = "this port speaks gRPC over HTTP/2; the HTTP API has a port of its own (--dapr-http-port)\n";
      answer(exchange, 415, { type: "text/plain; charset=utf-8", text });
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
    const [, serviceName = "", methodName = ""] = call.path.split("/");
    const service = this.#services.get(serviceName);
    if (service?.isOpen !== true) this.#refuseStranger(call);
    const request = { call, trace: traceContextOf(call.metadata) };
    if (service === undefined) {
      throw grpcError("UNKNOWN", "cannot proxy request: missing dapr-callee-app-id or dapr-app-id metadata");
    }
    const handler = service.methods.get(methodName);
    if (handler !== undefined) await handler(request);
    else
      call.fail({ code: GRPC_CODE.UNIMPLEMENTED, message: `unknown method ${methodName} for service ${serviceName}` });
  }

  #refuseStranger(call: GrpcCall): void {
    const { tokens } = this.#parts;
    if (!tokens.required) return;
    const token = headerValue(call.metadata, "dapr-api-token");
    if (!tokens.accept(token)) throw grpcError("UNAUTHENTICATED", "Unauthorized");
  }
}
