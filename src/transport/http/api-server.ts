import type { ApiObserver } from "../../core/api-observer.ts";
import type { Clock } from "../../core/clock.ts";
import { OutriggerError } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import { headerValue } from "../../core/raw-headers.ts";
import { traceContextOf, whyBaggageIsInvalid } from "../../core/trace-context.ts";
import type { Span, Tracer } from "../../core/tracer.ts";
import type { Pipeline } from "../../invocation/pipeline.ts";
import type { Publisher } from "../../pubsub/publisher.ts";
import type { ApiTokens } from "../../security/api-token.ts";
import { answer } from "./answer.ts";
import { type ApiRequest, routingPath, splitRequestTarget, traceHeadersOf } from "./api-request.ts";
import { CorsExchange, CorsPolicy } from "./cors.ts";
import { answerError, answerPlainError } from "./error-answer.ts";
import type { HttpExchange } from "./http-exchange.ts";
import { type HttpCodec, HttpListener } from "./http-listener.ts";
import { ObservedExchange } from "./observed-exchange.ts";
import { OUTRIGGER_PREFIX } from "./outrigger-path.ts";
import { type PublishPath, publishPathOf } from "./publish-path.ts";
import { answeredAsHealth, type HealthSource } from "./routes/health.ts";
import { type InvokeRoute, invoke } from "./routes/invoke.ts";
import { getMetadata, type MetadataSource, putMetadata } from "./routes/metadata.ts";
import type { OutriggerApi } from "./routes/outrigger-api.ts";
import { type Shutdown, shutdown } from "./routes/shutdown.ts";
import { speakHttp2 } from "./speak-http2.ts";
import { beginApiSpan, TracedExchange } from "./traced-exchange.ts";

export interface ApiServerParts {
  readonly invocation: InvokeRoute;
  /** Undefined: whatever is published to is not there. */
  readonly publisher: Publisher;
  /** May say another pipeline from one request to the next. */
  readonly rules: { readonly httpPipeline: Pipeline | undefined };
  readonly health: HealthSource;
  readonly metadata: MetadataSource;
  readonly shutdown: Shutdown;
  /** What is answered under `/outrigger/v1/`. Absent where nothing is. */
  readonly outriggerApi?: OutriggerApi | undefined;
  /** `DAPR_API_TOKEN` and its predecessor. */
  readonly tokens: ApiTokens;
  /** Opens `POST /v1.0/shutdown` to the owner of the home directory, who reads it in the registry. */
  readonly controlTokens: ApiTokens;
  /** As {@link CorsPolicy} takes them; empty for no CORS at all. */
  readonly allowedOrigins: readonly string[];
  readonly codec: HttpCodec;
  /** Whether HTTP/2 is spoken, without TLS. */
  readonly http2: boolean;
  readonly readBufferBytes: number;
  /** Undefined where nobody counts or logs calls. */
  readonly observer?: ApiObserver | undefined;
  readonly clock: Clock;
  /** Undefined where traces are only passed on. */
  readonly tracer: Tracer | undefined;
  readonly log: Logger;
}

type Route = (request: ApiRequest) => void | Promise<void>;

export const CONTROL_TOKEN_HEADER = "outrigger-control-token";
const METADATA_PREFIX = "/v1.0/metadata/";

/** The HTTP API that the app calls: trace context, token, middleware, then a route. Invocation is the route of everything else (A1). */
export class ApiServer {
  readonly listener: HttpListener;
  readonly #parts: ApiServerParts;
  readonly #routes: ReadonlyMap<string, Route>;
  readonly #cors: CorsPolicy | undefined;
  #publishRoute: Promise<(path: PublishPath, request: ApiRequest) => Promise<void>> | undefined;

  constructor(parts: ApiServerParts) {
    this.#parts = parts;
    this.#cors = parts.allowedOrigins.length === 0 ? undefined : new CorsPolicy(parts.allowedOrigins);
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
      handle: (exchange) => this.#take(exchange),
      ...(parts.http2 ? { http2: speakHttp2 } : {}),
    });
  }

  #take(direct: HttpExchange): Promise<void> {
    const { observer, clock } = this.#parts;
    if (observer === undefined) return this.#handle(direct, undefined);
    const observed = new ObservedExchange(direct, observer, clock);
    return this.#handle(observed, observed);
  }

  async #handle(direct: HttpExchange, observed: ObservedExchange | undefined): Promise<void> {
    let request = arrivedRequest(this.#withCors(direct));
    try {
      // Health answers come before the trace context, as daprd's do (observed/, "system").
      if (answeredAsHealth(this.#parts.health, request) || refusedForItsBaggage(request)) return;
      const span = this.#spanFor(request);
      const traced = span === undefined ? direct : new TracedExchange(direct, span);
      request = this.#withTrace(request, traced, span);
      const key = routeKeyOf(request);
      if (this.#answeredAsPreflight(request, traced) || this.#refusedWithoutToken(request, key)) return;
      await this.#routed(request, key);
    } catch (error) {
      this.#answerError(request.exchange, error, request.traceHeaders);
    } finally {
      observed?.handled();
    }
  }

  #spanFor({ exchange, path, trace }: ApiRequest): Span | undefined {
    const { tracer } = this.#parts;
    return tracer === undefined ? undefined : beginApiSpan(tracer, exchange, path, trace);
  }

  /** What the steps from here on get: whatever it is answered with says its trace. */
  #withTrace(arrived: ApiRequest, traced: HttpExchange, span: Span | undefined): ApiRequest {
    const exchange = span === undefined ? arrived.exchange : this.#withCors(traced);
    const { method, path, query, headers } = arrived;
    const { trace } = span ?? arrived;
    const traceHeaders = traceHeadersOf(trace);
    const tokenChecked = this.#parts.tokens.required;
    const request = { exchange, method, path, query, headers, trace, traceHeaders, tokenChecked };
    return span === undefined ? request : { ...request, span };
  }

  /** @param exchange without CORS, of which the answer says everything itself. */
  #answeredAsPreflight({ method, headers, traceHeaders }: ApiRequest, exchange: HttpExchange): boolean {
    const preflight = this.#cors?.preflightHeaders(method, headers);
    if (preflight === undefined) return false;
    answer(exchange, 200, undefined, [...preflight, ...traceHeaders]);
    return true;
  }

  #refusedWithoutToken({ exchange, headers, traceHeaders }: ApiRequest, key: string): boolean {
    const { tokens } = this.#parts;
    if (!tokens.required || tokens.accept(headerValue(headers, "dapr-api-token"))) return false;
    if (this.#isByOwner(key, headers)) return false;
    answerPlainError(exchange, 401, "invalid api token", traceHeaders);
    return true;
  }

  #routed(request: ApiRequest, key: string): void | Promise<void> {
    const isPiped = this.#parts.rules.httpPipeline !== undefined;
    // The owner of the home directory is no caller of the app's, and can always end the sidecar.
    if (isPiped && !this.#isByOwner(key, request.headers)) return this.#throughPipeline(request, key);
    return this.#routeFor(key)(request);
  }

  async #throughPipeline(request: ApiRequest, key: string): Promise<void> {
    // Most sidecars have none.
    const { throughPipeline } = await import("./http-pipeline.ts");
    // Taken and entered at once: one that is replaced is closed as soon as no request is in it.
    const pipeline = this.#parts.rules.httpPipeline;
    if (pipeline === undefined) return this.#routeFor(key)(request);
    await throughPipeline(pipeline, request, {
      route: (piped) => this.#routeFor(routeKeyOf(piped))(piped),
      answerError: (exchange, error) => {
        this.#answerError(exchange, error, []);
      },
      maxBodyBytes: this.#parts.invocation.maxBodyBytes,
    });
  }

  #answerError(exchange: HttpExchange, error: unknown, extra: readonly string[]): void {
    if (error instanceof OutriggerError) this.#parts.observer?.errorAnswered(error.errorCode);
    answerError(exchange, error, extra, this.#parts.log);
  }

  #withCors(exchange: HttpExchange): HttpExchange {
    return this.#cors === undefined ? exchange : new CorsExchange(exchange, this.#cors);
  }

  #isByOwner(routeKey: string, headers: readonly string[]): boolean {
    if (routeKey !== "POST /v1.0/shutdown") return false;
    return this.#parts.controlTokens.accept(headerValue(headers, CONTROL_TOKEN_HEADER));
  }

  #routeFor(key: string): Route {
    const { metadata, invocation } = this.#parts;
    if (key.startsWith(`PUT ${METADATA_PREFIX}`)) {
      const metadataKey = decodeKey(key.slice(`PUT ${METADATA_PREFIX}`.length));
      return (request) => putMetadata(metadata, request, metadataKey, invocation.maxBodyBytes);
    }
    const route = this.#routes.get(key);
    if (route !== undefined) return route;
    if (key.startsWith(OUTRIGGER_PREFIX, key.indexOf("/"))) return (request) => this.#outriggerApi(request);
    const space = key.indexOf(" ");
    const publish = publishPathOf(key.slice(0, space), key.slice(space + 1));
    if (publish !== undefined) return (request) => this.#publish(publish, request);
    return (request) => invoke(invocation, request);
  }

  /** Most apps that call others publish nothing. */
  async #publish(path: PublishPath, request: ApiRequest): Promise<void> {
    this.#publishRoute ??= import("./routes/publish.ts").then(({ publish }) => {
      const { publisher, observer, invocation } = this.#parts;
      return publish.bind(undefined, { publisher, observer, maxBodyBytes: invocation.maxBodyBytes });
    });
    const publish = await this.#publishRoute;
    await publish(path, request);
  }

  /** What it has no route for is an invocation, as everywhere. */
  async #outriggerApi(request: ApiRequest): Promise<void> {
    const { outriggerApi: api, invocation } = this.#parts;
    if (api !== undefined) {
      // People ask it, and tools; no app does for each of its calls.
      const { answeredByOutriggerApi } = await import("./routes/outrigger-api.ts");
      if (await answeredByOutriggerApi(api, request)) return;
    }
    await invoke(invocation, request);
  }
}

/** Nothing of its trace is answered yet, nor its token looked at. */
function arrivedRequest(exchange: HttpExchange): ApiRequest {
  const { rawHeaders: headers, method } = exchange;
  const { path, query } = splitRequestTarget(exchange.target) ?? { path: "/", query: undefined };
  const trace = traceContextOf(headers);
  return { exchange, method, path, query, headers, trace, traceHeaders: [], tokenChecked: false };
}

function refusedForItsBaggage({ exchange, trace: { baggage } }: ApiRequest): boolean {
  const why = baggage === undefined ? undefined : whyBaggageIsInvalid(baggage);
  if (why === undefined) return false;
  answerPlainError(exchange, 400, `invalid baggage header: ${why}`, []);
  return true;
}

function routeKeyOf({ method, path }: ApiRequest): string {
  return `${method} ${routingPath(path)}`;
}

function decodeKey(raw: string): string {
  try {
    return decodeURIComponent(raw);
  } catch (cause) {
    throw new OutriggerError("malformedRequest", `the metadata key "${raw}" has a broken escape`, { cause });
  }
}
