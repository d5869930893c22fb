import { OutriggerError } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import { headerValue } from "../../core/raw-headers.ts";
import { traceContextOf, whyBaggageIsInvalid } from "../../core/trace-context.ts";
import type { ApiTokens } from "../../security/api-token.ts";
import { type ApiRequest, splitRequestTarget, traceHeadersOf } from "./api-request.ts";
import { answerError, answerPlainError } from "./error-answer.ts";
import type { HttpExchange } from "./http-exchange.ts";
import { type HttpCodec, HttpListener } from "./http-listener.ts";
import { type HealthSource, health, outboundHealth } from "./routes/health.ts";
import { type InvokeRoute, invoke } from "./routes/invoke.ts";
import { getMetadata, type MetadataSource, putMetadata } from "./routes/metadata.ts";
import { type Shutdown, shutdown } from "./routes/shutdown.ts";

export interface ApiServerParts {
  readonly invocation: InvokeRoute;
  readonly health: HealthSource;
  readonly metadata: MetadataSource;
  readonly shutdown: Shutdown;
  /** `DAPR_API_TOKEN` and its predecessor. */
  readonly tokens: ApiTokens;
  /** Opens `POST /v1.0/shutdown` to the owner of the home directory, who reads it in the registry. */
  readonly controlTokens: ApiTokens;
  readonly codec: HttpCodec;
  readonly readBufferBytes: number;
  readonly log: Logger;
}

type Route = (request: ApiRequest) => void | Promise<void>;

export const CONTROL_TOKEN_HEADER = "outrigger-control-token";
const METADATA_PREFIX = "/v1.0/metadata/";

/** The HTTP API that the app calls: trace context, token, then a route. Invocation is the route of everything else (A1). */
export class ApiServer {
  readonly listener: HttpListener;
  readonly #parts: ApiServerParts;
  readonly #routes: ReadonlyMap<string, Route>;

  constructor(parts: ApiServerParts) {
    this.#parts = parts;
    this.#routes = new Map<string, Route>([
      [
        "GET /v1.0/metadata",
        (request) => {
          getMetadata(parts.metadata, request);
        },
      ],
      [
        "POST /v1.0/shutdown",
        (request) => {
          shutdown(parts.shutdown, request);
        },
      ],
    ]);
    this.listener = new HttpListener({
      name: "API",
      codec: parts.codec,
      readBufferBytes: parts.readBufferBytes,
      log: parts.log,
      handle: (exchange) => this.#handle(exchange),
      http2: async (owner) => new (await import("./http2-server.ts")).Http2Server(owner),
    });
  }

  async #handle(exchange: HttpExchange): Promise<void> {
    let traceHeaders: readonly string[] = [];
    try {
      const { rawHeaders: headers, method } = exchange;
      const { path, query } = splitRequestTarget(exchange.target) ?? { path: "/", query: undefined };
      const trace = traceContextOf(headers);
      const health = { exchange, method, path, query, headers, trace, traceHeaders, tokenChecked: false };
      // Health answers come before the trace context, as daprd's do (observed/, "system").
      if (this.#answeredAsHealth(health)) return;
      const badBaggage = trace.baggage === undefined ? undefined : whyBaggageIsInvalid(trace.baggage);
      if (badBaggage !== undefined) {
        answerPlainError(exchange, 400, `invalid baggage header: ${badBaggage}`, []);
        return;
      }
      traceHeaders = traceHeadersOf(trace);
      const key = `${method} ${routingPath(path)}`;
      if (!this.#isAdmitted(key, headers)) {
        answerPlainError(exchange, 401, "invalid api token", traceHeaders);
        return;
      }
      const tokenChecked = this.#parts.tokens.required;
      await this.#routeFor(key)({ exchange, method, path, query, headers, trace, traceHeaders, tokenChecked });
    } catch (error) {
      answerError(exchange, error, traceHeaders, this.#parts.log);
    }
  }

  #answeredAsHealth(request: ApiRequest): boolean {
    if (request.method !== "GET") return false;
    const path = routingPath(request.path);
    if (path === "/v1.0/healthz") health(this.#parts.health, request);
    else if (path === "/v1.0/healthz/outbound") outboundHealth(this.#parts.health, request);
    else return false;
    return true;
  }

  #isAdmitted(routeKey: string, headers: readonly string[]): boolean {
    const { tokens, controlTokens } = this.#parts;
    if (!tokens.required || tokens.accept(headerValue(headers, "dapr-api-token"))) return true;
    return routeKey === "POST /v1.0/shutdown" && controlTokens.accept(headerValue(headers, CONTROL_TOKEN_HEADER));
  }

  #routeFor(key: string): Route {
    const { metadata, invocation } = this.#parts;
    if (key.startsWith(`PUT ${METADATA_PREFIX}`)) {
      const metadataKey = decodeKey(key.slice(`PUT ${METADATA_PREFIX}`.length));
      return (request) => putMetadata(metadata, request, metadataKey, invocation.maxBodyBytes);
    }
    return this.#routes.get(key) ?? ((request) => invoke(invocation, request));
  }
}

/** daprd routes by the cleaned path without a slash at its end; the route itself still sees what was sent (A1). */
function routingPath(path: string): string {
  if (path.startsWith("/v1.0/invoke/")) return path;
  const collapsed = path.replace(/\/{2,}/g, "/");
  return collapsed.length > 1 && collapsed.endsWith("/") ? collapsed.slice(0, -1) : collapsed;
}

function decodeKey(raw: string): string {
  try {
    return decodeURIComponent(raw);
  } catch (cause) {
    throw new OutriggerError("malformedRequest", `the metadata key "${raw}" has a broken escape`, { cause });
  }
}
