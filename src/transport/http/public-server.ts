import { headerValue } from "../../core/raw-headers.ts";
import { traceContextOf, whyBaggageIsInvalid } from "../../core/trace-context.ts";
import { routingPath, splitRequestTarget, traceHeadersOf } from "./api-request.ts";
import type { ApiServerParts } from "./api-server.ts";
import { answerError, answerPlainError } from "./error-answer.ts";
import type { HttpExchange } from "./http-exchange.ts";
import { HttpListener } from "./http-listener.ts";
import { answeredAsHealth } from "./routes/health.ts";
import { getMetadata } from "./routes/metadata.ts";

type PublicServerParts = Pick<ApiServerParts, "health" | "metadata" | "tokens" | "codec" | "readBufferBytes" | "log">;

/**
 * `--dapr-public-port`: health and metadata to read, for whoever watches over the sidecar from elsewhere, and nothing that
 * calls or changes anything. Health needs no token, metadata the API's where there is one; so no token that is asked for
 * at one door can be avoided at the other.
 */
export class PublicServer {
  readonly listener: HttpListener;
  readonly #parts: PublicServerParts;

  constructor(parts: PublicServerParts) {
    this.#parts = parts;
    const { codec, readBufferBytes, log } = parts;
    this.listener = new HttpListener({
      name: "public",
      codec,
      readBufferBytes,
      log,
      handle: (exchange) => {
        this.#handle(exchange);
        return Promise.resolve();
      },
    });
  }

  #handle(exchange: HttpExchange): void {
    const { health, metadata, tokens, log } = this.#parts;
    let traceHeaders: readonly string[] = [];
    try {
      const { rawHeaders: headers, method } = exchange;
      const { path, query } = splitRequestTarget(exchange.target) ?? { path: "/", query: undefined };
      const trace = traceContextOf(headers);
      const request = { exchange, method, path, query, headers, trace, traceHeaders, tokenChecked: false };
      if (answeredAsHealth(health, request)) return;
      const badBaggage = trace.baggage === undefined ? undefined : whyBaggageIsInvalid(trace.baggage);
      traceHeaders = badBaggage === undefined ? traceHeadersOf(trace) : [];
      if (badBaggage !== undefined) {
        answerPlainError(exchange, 400, `invalid baggage header: ${badBaggage}`, traceHeaders);
      } else if (method !== "GET" || routingPath(path) !== "/v1.0/metadata") {
        // As Go's http.NotFound, which is what daprd's second router has for all it does not know.
        answerPlainError(exchange, 404, "404 page not found", traceHeaders);
      } else if (tokens.required && !tokens.accept(headerValue(headers, "dapr-api-token"))) {
        answerPlainError(exchange, 401, "invalid api token", traceHeaders);
      } else {
        getMetadata(metadata, { ...request, traceHeaders });
      }
    } catch (error) {
      answerError(exchange, error, traceHeaders, log);
    }
  }
}
