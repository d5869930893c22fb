import { messageOf } from "../core/errors.ts";
import type { RequestMessage, ResponseMessage } from "../core/message.ts";
import { traceContextOf, withTraceparent } from "../core/trace-context.ts";
import type { Tracer } from "../core/tracer.ts";
import type { Endpoint, EndpointCaller } from "./ports.ts";

/** Puts a span around each call to what no sidecar stands beside, and around each try of one. */
export class TracedEndpoints implements EndpointCaller {
  readonly #inner: EndpointCaller;
  readonly #tracer: Tracer;

  constructor(inner: EndpointCaller, tracer: Tracer) {
    this.#inner = inner;
    this.#tracer = tracer;
  }

  async call(endpoint: Endpoint, request: RequestMessage): Promise<ResponseMessage> {
    const { name, scheme, host, port, basePath } = endpoint;
    const { method, path, headers } = request;
    const span = this.#tracer.start("client", `${method} ${name}`, traceContextOf(headers));
    if (span.isSampled) {
      const url = { "url.scheme": scheme, "url.path": basePath + path, "server.address": host, "server.port": port };
      span.describe({ "http.request.method": method, "net.peer.name": name, ...url });
    }
    try {
      const passedOn = { ...request, headers: withTraceparent(headers, span.trace.traceparent), span };
      const response = await this.#inner.call(endpoint, passedOn);
      span.end({ httpStatus: response.status });
      return response;
    } catch (error) {
      span.end({ error: messageOf(error) });
      throw error;
    }
  }
}
