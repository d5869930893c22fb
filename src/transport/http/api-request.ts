import type { TraceContext } from "../../core/trace-context.ts";
import type { Span } from "../../core/tracer.ts";
import type { HttpExchange } from "./http-exchange.ts";

/** A request to the API port, taken apart but not yet judged: what every route starts from. */
export interface ApiRequest {
  readonly exchange: HttpExchange;
  readonly method: string;
  /** Percent-encoded, as sent, without the query. */
  readonly path: string;
  /** Verbatim, without the `?`. */
  readonly query: string | undefined;
  readonly headers: readonly string[];
  readonly trace: TraceContext;
  /** Around the request, where there is a tracer: `trace` names it. */
  readonly span?: Span;
  /** What every answer but the health checks' carries, in a flat list. */
  readonly traceHeaders: readonly string[];
  /** True where the sidecar has an API token, and this request brought it. */
  readonly tokenChecked: boolean;
}

/** `*` and anything else that is not a path gives undefined. RFC 9112 3.2 */
export function splitRequestTarget(target: string): { path: string; query: string | undefined } | undefined {
  const origin = target.startsWith("/") ? target : withoutAuthority(target);
  if (origin === undefined) return undefined;
  const question = origin.indexOf("?");
  if (question === -1) return { path: origin, query: undefined };
  return { path: origin.slice(0, question), query: origin.slice(question + 1) };
}

/** A server must accept the absolute form although only proxies are sent it. */
function withoutAuthority(target: string): string | undefined {
  const match = /^https?:\/\/[^/?#]*(.*)$/is.exec(target);
  if (match === null) return undefined;
  const rest = match[1] ?? "";
  return rest.startsWith("/") ? rest : `/${rest}`;
}

/** daprd routes by the cleaned path without a slash at its end; the route itself still sees what was sent (A1). */
export function routingPath(path: string): string {
  if (path.startsWith("/v1.0/invoke/")) return path;
  const collapsed = path.replace(/\/{2,}/g, "/");
  return collapsed.length > 1 && collapsed.endsWith("/") ? collapsed.slice(0, -1) : collapsed;
}

/** The answer's trace headers (A4): zeros where the caller brought no trace, an echo where it did. */
export function traceHeadersOf(trace: TraceContext): string[] {
  const headers = ["Traceparent", trace.answeredTraceparent];
  if (trace.tracestate !== undefined) headers.push("Tracestate", trace.tracestate);
  if (trace.baggage !== undefined) headers.push("Baggage", trace.baggage);
  return headers;
}
