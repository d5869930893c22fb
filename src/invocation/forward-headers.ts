import type { AppIdentity } from "../core/app-id.ts";
import type { RawHeaders } from "../core/raw-headers.ts";
import { headerValues } from "../core/raw-headers.ts";
import type { TraceContext } from "../core/trace-context.ts";

/**
 * Which headers cross a hop, and under what name: the table of wire-contract A4, in one place for HTTP, the peer hop
 * and co-hosted calls.
 */

// RFC 9110 7.6.1 and what daprd adds to it.
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

// About one connection, and set anew on the next.
const PER_CONNECTION = new Set(["host", "content-length", "expect"]);

// Read into a TraceContext by the caller's sidecar, which writes them anew.
const TRACE = new Set(["traceparent", "tracestate", "baggage"]);

// Never believed: they say who calls whom, and only Outrigger may say that.
const SAID_BY_OUTRIGGER = /^(?:dapr-caller-|dapr-callee-|destination-app-id$)/;

/** Prefix of the headers two Outriggers use between themselves; from anybody else they are dropped. */
const OUTRIGGER_PREFIX = "outrigger-";

/** What goes on of what an app's request carried: end-to-end headers, without anything only Outrigger may say. */
export function requestHeadersFromApp(received: readonly string[]): RawHeaders {
  return endToEnd(received, (lower, value) => {
    if (lower === "content-type") return value === "";
    return PER_CONNECTION.has(lower) || TRACE.has(lower) || isNotForAnApp(lower);
  });
}

/** The same for a request that another Outrigger's caller side has already prepared. */
export function requestHeadersFromPeer(received: readonly string[]): RawHeaders {
  return endToEnd(received, (lower) => PER_CONNECTION.has(lower));
}

/** What goes back of what an app answered: its trace headers do not, the sidecar's own answer for the call. */
export function responseHeadersFromApp(received: readonly string[]): RawHeaders {
  return endToEnd(received, (lower) => TRACE.has(lower));
}

function endToEnd(received: readonly string[], drop: (lowerName: string, value: string) => boolean): RawHeaders {
  const listed = namesListedInConnection(received);
  const kept: RawHeaders = [];
  for (let i = 0; i < received.length; i += 2) {
    const name = received[i] ?? "";
    const lower = name.toLowerCase();
    const endsHere = HOP_BY_HOP.has(lower) || lower.startsWith(OUTRIGGER_PREFIX) || listed?.has(lower) === true;
    const value = received[i + 1] ?? "";
    if (!endsHere && !drop(lower, value)) kept.push(forwardedName(name, lower), value);
  }
  return kept;
}

/** Appends the trace headers that the callee gets. */
export function addTraceHeaders(headers: RawHeaders, trace: TraceContext): void {
  headers.push("Traceparent", trace.traceparent);
  if (trace.tracestate !== undefined) headers.push("Tracestate", trace.tracestate);
  if (trace.baggage !== undefined) headers.push("Baggage", trace.baggage);
}

export interface CallerHost {
  /** The address of the calling sidecar, without brackets. */
  readonly address: string;
  readonly hostname: string;
}

/** Appends what only a call to another app carries: who calls whom, and from where (A4, "remote only"). */
export function addCallerHeaders(
  headers: RawHeaders,
  call: { readonly caller: AppIdentity; readonly callee: AppIdentity; readonly host: CallerHost },
): void {
  const { caller, callee, host } = call;
  // RFC 7239 4: an IPv6 address is bracketed and therefore quoted.
  const node = host.address.includes(":") ? `"[${host.address}]"` : host.address;
  headers.push("Dapr-Caller-App-Id", caller.id);
  headers.push("Dapr-Caller-Namespace", caller.namespace);
  headers.push("Dapr-Callee-App-Id", callee.id);
  headers.push("X-Forwarded-For", host.address);
  headers.push("X-Forwarded-Host", host.hostname);
  headers.push("Forwarded", `for=${node};by=${node};host=${host.hostname}`);
}

function isNotForAnApp(lower: string): boolean {
  // CGI and WSGI apps read `_` and `-` as the same. `-bin` is binary gRPC metadata, which means nothing to an HTTP app.
  return SAID_BY_OUTRIGGER.test(lower.replaceAll("_", "-")) || lower.endsWith("-bin");
}

/** gRPC reserves these names, so daprd carries them under another one (pkg/messaging/v1/util.go). */
function forwardedName(name: string, lower: string): string {
  return lower.startsWith("grpc-") ? `Dapr-${name}` : name;
}

function namesListedInConnection(headers: readonly string[]): Set<string> | undefined {
  const values = headerValues(headers, "connection");
  if (values.length === 0) return undefined;
  const names = values.join(",").toLowerCase().split(",");
  return new Set(names.map((name) => name.trim()).filter((name) => name !== ""));
}
