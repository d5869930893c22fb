import { HAS_HTTP_SCHEME } from "../../invocation/endpoint-url.ts";
import type { Endpoint } from "../../invocation/ports.ts";
import type { UpstreamError } from "../upstream/upstream.ts";

const EXPIRED = new Set(["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"]);
// The alerts of a server that wants to know who calls (RFC 8446 6.2), as OpenSSL words them.
const ASKS_WHO_CALLS = /alert (?:certificate required|bad certificate|handshake failure|unknown ca)/;
const UNREACHED = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT"]);

/** What the user can do about a call that got no answer: the end of a sentence, or nothing. */
export function advice(endpoint: Endpoint, error: UpstreamError): string {
  const { name, scheme, tls } = endpoint;
  const { code = "" } = (error.cause ?? {}) as NodeJS.ErrnoException;
  // A URL has no resource that could say anything of it.
  const isUrl = HAS_HTTP_SCHEME.test(name);
  const place = isUrl ? "the URL" : `baseUrl of HTTPEndpoint ${name}`;
  const tlsOf = (field: string): string =>
    isUrl ? `clientTLS.${field} of an HTTPEndpoint` : `clientTLS.${field} of HTTPEndpoint ${name}`;
  if (error.kind === "untrusted") {
    if (EXPIRED.has(code)) return "; whoever runs the server has to renew it";
    if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return `; name the host in ${place} as its certificate does`;
    const who = tls?.ca === undefined ? "can say" : "says";
    return `; ${tlsOf("rootCA")} ${who} which authority to trust`;
  }
  if (ASKS_WHO_CALLS.test(error.message)) {
    return `; the server asks for a certificate that it trusts, which ${tlsOf("certificate")} and privateKey say`;
  }
  if (error.kind === "foreign") {
    return scheme === "https"
      ? `; write http:// in ${place} where the server speaks HTTP without TLS`
      : `; ${place} must name a port where HTTP/1.1 is spoken, with https:// where that is over TLS`;
  }
  // Whoever wrote a URL into a call knows where it leads.
  return UNREACHED.has(code) && !isUrl ? `; check the host and port in ${place}, and that its server runs` : "";
}
