import type { Clock } from "../../core/clock.ts";
import { GRPC_CODE } from "../../core/grpc-code.ts";
import { traceparentOfBin } from "../../core/grpc-trace-bin.ts";
import { headerValue, withoutHeaders } from "../../core/raw-headers.ts";
import { type TraceContext, traceContextOf } from "../../core/trace-context.ts";
import type { ApiTokens } from "../../security/api-token.ts";
import { answer } from "../http/answer.ts";
import type { HttpExchange } from "../http/http-exchange.ts";
import { statusOfFailed, statusOfHttp } from "./error-status.ts";
import { GrpcCall } from "./grpc-call.ts";
import { isGrpc } from "./is-grpc.ts";
import { appNamedIn, GrpcProxy } from "./proxy.ts";
import type { GrpcService } from "./service.ts";
import { type ServicesParts, servicesOf } from "./services/services.ts";
import { GrpcError } from "./status.ts";

export interface GrpcApiParts extends ServicesParts {
  /** `DAPR_API_TOKEN` and its predecessor. */
  readonly tokens: ApiTokens;
  /** `--max-body-size`. */
  readonly maxMessageBytes: number;
  readonly clock: Clock;
}

/** The gRPC API that the app calls: token, then a service. Proxying is the service of everything else (A5). */
export class GrpcApi {
  readonly #parts: GrpcApiParts;
  readonly #services: ReadonlyMap<string, GrpcService>;
  readonly #proxy: GrpcProxy;

  constructor(parts: GrpcApiParts) {
    this.#parts = parts;
    this.#proxy = new GrpcProxy(parts);
    const services = servicesOf(parts);
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
      if (call.isAnswerable) call.fail(statusOfFailed(call, error, log));
    }
  }

  async #route(call: GrpcCall): Promise<void> {
    const [, serviceName = "", methodName = ""] = call.path.split("/");
    const service = this.#ownService(serviceName, call.metadata);
    if (service?.isOpen !== true) this.#refuseStranger(call);
    const request = { call, metadata: this.#withoutToken(call.metadata), trace: traceOf(call.metadata) };
    if (service === undefined) {
      await this.#proxy.handle(request);
      return;
    }
    const handler = service.methods.get(methodName);
    if (handler !== undefined) await handler(request);
    else call.fail({ code: GRPC_CODE.UNIMPLEMENTED, message: unknownMethod(service, methodName) });
  }

  /** Undefined for what is proxied. */
  #ownService(name: string, metadata: readonly string[]): GrpcService | undefined {
    const service = this.#services.get(name);
    return service?.appsHaveIt === true && appNamedIn(metadata) !== undefined ? undefined : service;
  }

  #refuseStranger(call: GrpcCall): void {
    const { tokens } = this.#parts;
    if (!tokens.required) return;
    const token = headerValue(call.metadata, TOKEN);
    if (tokens.accept(token)) return;
    const why =
      token === undefined ? "missing api token in request metadata" : "authentication error: api token mismatch";
    throw new GrpcError(statusOfHttp(401, Buffer.from(why)));
  }

  #withoutToken(metadata: readonly string[]): readonly string[] {
    return this.#parts.tokens.required ? withoutHeaders(metadata, (name) => name === TOKEN) : metadata;
  }
}

const TOKEN = "dapr-api-token";

function unknownMethod({ name, explain }: GrpcService, method: string): string {
  const known = `unknown method ${method} for service ${name}`;
  return explain === undefined ? known : `${known}: ${explain(method)}`;
}

/** gRPC has a form of its own to say a trace, which W3C's goes before. */
function traceOf(metadata: readonly string[]): TraceContext {
  const bin = headerValue(metadata, "traceparent") === undefined ? headerValue(metadata, "grpc-trace-bin") : undefined;
  const traceparent = bin === undefined ? undefined : traceparentOfBin(bin);
  return traceContextOf(traceparent === undefined ? metadata : ["traceparent", traceparent, ...metadata]);
}
