import type { ApiObserver } from "../../core/api-observer.ts";
import { OutriggerError } from "../../core/errors.ts";
import { headerValue, withoutHeaders } from "../../core/raw-headers.ts";
import type { Tracer } from "../../core/tracer.ts";
import type { ApiTokens } from "../../security/api-token.ts";
import type { HttpExchange } from "../http/http-exchange.ts";
import { beginCallSpan } from "./call-span.ts";
import { answerGrpc, callMethod, type GrpcPortParts, namesIn, requestOf } from "./dispatch.ts";
import { statusOfHttp } from "./error-status.ts";
import type { GrpcCall } from "./grpc-call.ts";
import { isGrpc } from "./is-grpc.ts";
import { ObservedGrpcExchange } from "./observed-grpc-exchange.ts";
import { appNamedIn, GrpcProxy } from "./proxy.ts";
import type { GrpcService } from "./service.ts";
import type { DaprServiceParts } from "./services/dapr.ts";
import { servicesOf } from "./services/services.ts";
import { GrpcError } from "./status.ts";

export interface GrpcApiParts extends DaprServiceParts, GrpcPortParts {
  /** `DAPR_API_TOKEN` and its predecessor. */
  readonly tokens: ApiTokens;
  /** Undefined where nobody counts or logs calls. */
  readonly observer?: ApiObserver | undefined;
  /** Undefined where traces are only passed on. */
  readonly tracer: Tracer | undefined;
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
    const notGrpc = "this port speaks gRPC over HTTP/2; the HTTP API has a port of its own (--dapr-http-port)\n";
    await answerGrpc(this.#observed(exchange), this.#parts, notGrpc, (call) => this.#routeObserved(call));
  }

  #observed(exchange: HttpExchange): HttpExchange {
    const { observer, clock } = this.#parts;
    if (observer === undefined || !isGrpc(exchange)) return exchange;
    return new ObservedGrpcExchange(exchange, observer, clock, exchange.target.startsWith(RUNTIME_API));
  }

  async #routeObserved(call: GrpcCall): Promise<void> {
    try {
      await this.#route(call);
    } catch (error) {
      const cause: unknown = error instanceof GrpcError ? error.cause : error;
      if (cause instanceof OutriggerError) this.#parts.observer?.errorAnswered(cause.errorCode);
      throw error;
    }
  }

  async #route(call: GrpcCall): Promise<void> {
    const [serviceName, method] = namesIn(call);
    const service = this.#ownService(serviceName, call.metadata);
    const { tracer } = this.#parts;
    // Health and reflection are no calls that anybody would look for.
    const isTraced = tracer !== undefined && service?.appsHaveIt !== true;
    const span = isTraced ? beginCallSpan(tracer, call) : undefined;
    if (service?.isOpen !== true) this.#refuseStranger(call);
    const request = requestOf(call, this.#withoutToken(call.metadata), span);
    await (service === undefined ? this.#proxy.handle(request) : callMethod(service, method, request));
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
const RUNTIME_API = "/dapr.proto.runtime.v1.Dapr/";
