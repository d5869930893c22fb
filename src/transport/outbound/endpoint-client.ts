import { discard } from "../../core/body.ts";
import type { Clock } from "../../core/clock.ts";
import { CallError } from "../../core/errors.ts";
import { acceptsEventStream } from "../../core/event-stream.ts";
import { type RequestMessage, type ResponseMessage, withHeaders } from "../../core/message.ts";
import { type RawHeaders, withoutHeaders } from "../../core/raw-headers.ts";
import { basicAuthTarget } from "../../invocation/basic-auth-target.ts";
import { responseHeadersFromApp } from "../../invocation/forward-headers.ts";
import type { Endpoint, EndpointCaller } from "../../invocation/ports.ts";
import { type Upstream, UpstreamError, type UpstreamFactory } from "../upstream/upstream.ts";
import { advice } from "./endpoint-advice.ts";
import { redirected } from "./redirect.ts";

// Go's client, and so daprd's, gives up here.
const MAX_REDIRECTS = 10;
const MAX_HEADER_BYTES = 256 * 1024;
const MAX_CONNECTIONS = 1024;
// As daprd waits (A4); over the Internet a handshake takes longer than beside an app.
const CONNECT_TIMEOUT_MS = 15_000;
// Callers choose the URLs, so there may be any number of them.
const UNUSED_MS = 3 * 60_000;

interface Origin {
  readonly tls: Endpoint["tls"];
  readonly upstream: Upstream;
  lastUsed: number;
}

/** Calls APIs that no sidecar stands beside, keeping connections to each. */
export class EndpointClient implements EndpointCaller {
  /** Connections are shared only by endpoints that show and trust the same certificates. */
  readonly #origins = new Map<string, Origin[]>();
  readonly #clock: Clock;
  readonly #createUpstream: UpstreamFactory;
  readonly #connectTimeoutMs: number;
  readonly #sweep: NodeJS.Timeout;

  /** @param connectTimeoutMs until a connection can be used, a TLS handshake included. */
  constructor(clock: Clock, createUpstream: UpstreamFactory, connectTimeoutMs = CONNECT_TIMEOUT_MS) {
    this.#clock = clock;
    this.#createUpstream = createUpstream;
    this.#connectTimeoutMs = connectTimeoutMs;
    this.#sweep = setInterval(() => {
      this.#dropUnused();
    }, UNUSED_MS / 3).unref();
  }

  async call(endpoint: Endpoint, request: RequestMessage): Promise<ResponseMessage> {
    let at = endpoint;
    let asked = prepared(endpoint, request);
    for (let redirects = 0; ; redirects++) {
      const response = await this.#send(at, asked, redirects > 0);
      const next = endpoint.followsRedirects ? redirected(at, asked, response) : undefined;
      if (next === undefined) return withHeaders(response, responseHeadersFromApp(response.headers));
      discard(response.body);
      if (redirects === MAX_REDIRECTS) {
        throw new CallError(undefined, `${whatWasAsked(at, asked)}: stopped after ${MAX_REDIRECTS} redirects`);
      }
      ({ at, asked } = next);
    }
  }

  close(): void {
    clearInterval(this.#sweep);
    for (const origins of this.#origins.values()) for (const { upstream } of origins) upstream.destroy();
    this.#origins.clear();
  }

  async #send(endpoint: Endpoint, request: RequestMessage, isRedirected: boolean): Promise<ResponseMessage> {
    try {
      return await this.#upstreamTo(endpoint).send(request);
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      const what = `${whatWasAsked(endpoint, request)}: ${error.message}`;
      if (!isRedirected) throw new CallError(undefined, `${what}${advice(endpoint, error)}`, { cause: error });
      // The resource's fields are about another place. Without the cause, which may say that nobody has got anything: whoever
      // redirects has, and may have acted on it.
      throw new CallError(undefined, `${what}; HTTPEndpoint ${endpoint.name} redirected there`);
    }
  }

  #upstreamTo({ scheme, host, port, tls }: Endpoint): Upstream {
    const key = `${scheme}://${host}:${port}`;
    const origins = this.#origins.get(key) ?? [];
    let origin = origins.find((known) => isSameTls(known.tls, tls));
    if (origin === undefined) {
      const place = {
        host,
        port,
        maxConnections: MAX_CONNECTIONS,
        maxHeaderBytes: MAX_HEADER_BYTES,
        connectTimeoutMs: this.#connectTimeoutMs,
      };
      const upstream = this.#createUpstream(scheme === "http" ? place : { ...place, wire: wireTo(tls) });
      origin = { tls, upstream, lastUsed: 0 };
      this.#origins.set(key, [...origins, origin]);
    }
    origin.lastUsed = this.#clock.monotonic();
    return origin.upstream;
  }

  /** Its idle connections have long ended by themselves, and a call that still runs keeps its own. */
  #dropUnused(): void {
    for (const [key, origins] of this.#origins) {
      const used = origins.filter(({ lastUsed }) => this.#clock.monotonic() - lastUsed < UNUSED_MS);
      if (used.length === 0) this.#origins.delete(key);
      else this.#origins.set(key, used);
    }
  }
}

/** Each reload of resources, and each redirect, brings another object that says the same. */
function isSameTls(one: Endpoint["tls"], other: Endpoint["tls"]): boolean {
  if (one === other) return true;
  return (
    one !== undefined &&
    other !== undefined &&
    one.ca === other.ca &&
    one.renegotiation === other.renegotiation &&
    one.own?.certificate === other.own?.certificate &&
    one.own?.privateKey === other.own?.privateKey
  );
}

function wireTo(tls: Endpoint["tls"]) {
  // Go's default, and so daprd's.
  const { ca, own, renegotiation = "never" } = tls ?? {};
  const trust = { ca, serverName: undefined, renegotiation, ...(own && { own }) };
  return { kind: "https", trust } as const;
}

/** With the endpoint's path and headers, and without what is only between Outrigger and apps. */
function prepared({ basePath, headers: own }: Endpoint, request: RequestMessage): RequestMessage {
  const fixed = fixedFor(request, own);
  const names = new Set(fixed.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase()));
  // Said to Outrigger, and to others a user that they do not know.
  if (basicAuthTarget(request.headers) !== undefined) names.add("authorization");
  const headers = withoutHeaders(request.headers, (name) => names.has(name) || name.endsWith("-bin"));
  headers.push(...fixed);
  return { ...request, path: basePath + request.path, headers };
}

/**
 * An endpoint's headers take the place of the caller's, but for one: a caller that reads event streams already may read
 * more, and a client of MCP has to say so.
 */
function fixedFor({ headers }: RequestMessage, own: RawHeaders): RawHeaders {
  if (!acceptsEventStream(own) || !acceptsEventStream(headers)) return own;
  return withoutHeaders(own, (name) => name === "accept");
}

function whatWasAsked({ scheme, host, port }: Endpoint, { method, path }: RequestMessage): string {
  const verb = method.charAt(0) + method.slice(1).toLowerCase();
  const authority = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  return `${verb} "${scheme}://${authority}${path}"`;
}
