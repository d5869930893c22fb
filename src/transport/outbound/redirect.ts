import { discard } from "../../core/body.ts";
import type { Body, RequestMessage, ResponseMessage } from "../../core/message.ts";
import { headerValue, withoutHeaders } from "../../core/raw-headers.ts";
import { placeOf } from "../../invocation/endpoint-url.ts";
import type { Endpoint } from "../../invocation/ports.ts";

/** Redirects, as Go's client follows them for daprd (A4; RFC 9110 15.4). */

// The next request is a GET without a body, whatever this one was.
const SEE_OTHER = new Set([301, 302, 303]);
// The next request is the same.
const SAME_REQUEST = new Set([307, 308]);
const ABOUT_THE_BODY = new Set(["content-type", "content-length", "content-encoding", "content-language"]);
/** For the host that they were meant for alone. */
const CREDENTIALS = new Set(["authorization", "cookie", "cookie2", "www-authenticate", "dapr-api-token"]);

/**
 * What a redirect asks for next; undefined where the answer is none, or one that cannot be followed: its target is not
 * HTTP, or wants a body once more that has been streamed.
 *
 * Another origin gets neither credentials nor what the endpoint adds, and is not shown its certificate; the same
 * authorities must vouch for it.
 */
export function redirected(
  endpoint: Endpoint,
  request: RequestMessage,
  { status, headers }: ResponseMessage,
): { readonly at: Endpoint; readonly asked: RequestMessage } | undefined {
  const location = headerValue(headers, "location");
  const isSame = SAME_REQUEST.has(status);
  if (location === undefined || (!isSame && !SEE_OTHER.has(status))) return undefined;
  if (isSame && !isReplayable(request.body)) return undefined;
  const url = urlOf(location, endpoint, request);
  if (url === undefined) return undefined;
  const { scheme, host, port } = placeOf(url);
  const staysThere = scheme === endpoint.scheme && host === endpoint.host && port === endpoint.port;
  const at = { ...endpoint, scheme, host, port, ...(staysThere ? {} : { headers: [], tls: withoutOwn(endpoint.tls) }) };
  const path = url.pathname;
  const query = url.search === "" ? undefined : url.search.slice(1);
  const asked = { ...(isSame ? request : asGet(request)), path, query };
  return { at, asked: staysThere ? asked : { ...asked, headers: forStrangers(asked.headers, endpoint) } };
}

function isReplayable(body: Body): boolean {
  return body === undefined || body instanceof Uint8Array;
}

function asGet(request: RequestMessage): RequestMessage {
  const method = request.method === "HEAD" ? "HEAD" : "GET";
  const headers = withoutHeaders(request.headers, (name) => ABOUT_THE_BODY.has(name));
  discard(request.body);
  return { ...request, method, headers, body: undefined, contentLength: 0 };
}

function urlOf(location: string, { scheme, host, port }: Endpoint, { path }: RequestMessage): URL | undefined {
  // Servers that do not escape it write UTF-8.
  const text = Buffer.from(location, "latin1").toString("utf8");
  const base = `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}${path}`;
  const url = URL.canParse(text, base) ? new URL(text, base) : undefined;
  return url?.protocol === "http:" || url?.protocol === "https:" ? url : undefined;
}

function forStrangers(headers: readonly string[], { headers: fixed }: Endpoint): string[] {
  const names = new Set(fixed.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase()));
  // What a caller can read is no secret, and may be its own.
  names.delete("accept");
  return withoutHeaders(headers, (name) => CREDENTIALS.has(name) || names.has(name));
}

function withoutOwn(tls: Endpoint["tls"]): Endpoint["tls"] {
  return tls === undefined ? undefined : { ...tls, own: undefined };
}
