import { CallError } from "../core/errors.ts";
import type { Endpoint } from "./ports.ts";

/** Routers on the way may have made one slash of two, which daprd takes for two (A2). */
export const HAS_HTTP_SCHEME = /^https?:\/+/i;
export const HAS_ENCODED_SCHEME = /^https?(?:%3A|:)(?:%2F|\/)/i;

const DEFAULT_PORT = { http: 80, https: 443 } as const;

/**
 * The API at a URL that stands in the place of a name. It is sent nothing but the call: no app's token, unlike by daprd, and
 * no redirect is followed, as by daprd (A4).
 *
 * @throws {CallError} without a code, for what is no URL of a host, or has a user, a query or a fragment in it.
 */
export function endpointAt(text: string): Endpoint {
  const written = text.replace(HAS_HTTP_SCHEME, (scheme) => `${scheme.slice(0, scheme.indexOf(":")).toLowerCase()}://`);
  const url = URL.canParse(written) ? new URL(written) : undefined;
  if (url === undefined || [url.search, url.hash, url.username, url.password].some((part) => part !== "")) {
    throw new CallError(undefined, `invalid URL ${text}: write http://host[:port][/path] or https://…, then /method/`);
  }
  return { name: written, ...placeOf(url), headers: [], tls: undefined, followsRedirects: false };
}

// Callers choose the URLs, so there may be any number of them.
const MAX_KNOWN_URLS = 256;

/** Reads as {@link endpointAt}, once for each URL: it costs more than all else that is done to find a target. */
export class KnownUrls {
  readonly #known = new Map<string, Endpoint>();

  /** @throws {CallError} as `endpointAt` does. */
  readonly endpointAt = (text: string): Endpoint => {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    const endpoint = endpointAt(text);
    if (this.#known.size >= MAX_KNOWN_URLS) this.#known.clear();
    this.#known.set(text, endpoint);
    return endpoint;
  };
}

/** Where a URL leads. */
export function placeOf(url: URL): Pick<Endpoint, "scheme" | "host" | "port" | "basePath"> {
  const scheme = url.protocol === "https:" ? "https" : "http";
  return {
    scheme,
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port === "" ? DEFAULT_PORT[scheme] : Number(url.port),
    basePath: url.pathname.replace(/\/+$/, ""),
  };
}
