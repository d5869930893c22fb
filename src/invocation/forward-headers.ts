import type { AppIdentity } from "../core/app-id.ts";
import { traceBinOf } from "../core/grpc-trace-bin.ts";
import type { ResponseMessage } from "../core/message.ts";
import type { RawHeaders } from "../core/raw-headers.ts";
import { headerValues, withoutHeaders } from "../core/raw-headers.ts";
import type { TraceContext } from "../core/trace-context.ts";

/**
 * Which headers cross a hop, and under what name: the table of wire-contract A4, in one place for HTTP, the peer hop
 * and co-hosted calls.
 */

/** Why a header may have to stay behind; a header can have several reasons, so each is a bit. */
const HOP_BY_HOP = 1;
/** About one connection, and set anew on the next. */
const PER_CONNECTION = 2;
/** Read into a TraceContext by the caller's sidecar, which writes them anew. */
const TRACE = 4;
/** Never believed from an app: they say who calls whom. */
const NOT_FOR_AN_APP = 8;
const CONTENT_TYPE = 16;
/** gRPC reserves these names, so daprd carries them under another one (pkg/messaging/v1/util.go). */
const RENAMED = 32;
/** Bytes for a gRPC app, in base64: metadata, which an HTTP app is not given (its channel leaves it out). */
const BINARY = 64;

/** Who calls whom, in the words of a sidecar. */
const SAID_BY_A_SIDECAR = 128;

/** From where a call comes: added by a sidecar, too, behind what an app may have said. */
const FROM_WHERE = 256;
/** What a peer has added itself. The list of a Connection header can only be its app's idea of it. */
const ADDED_BY_A_PEER = SAID_BY_A_SIDECAR | FROM_WHERE | TRACE;

const TRAITS: ReadonlyMap<string, number> = new Map([
  // RFC 9110 7.6.1 and what daprd adds to it.
  ...["connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer"].map(
    (name) => [name, HOP_BY_HOP] as const,
  ),
  ...["transfer-encoding", "upgrade", "http2-settings"].map((name) => [name, HOP_BY_HOP] as const),
  ...["host", "content-length", "expect"].map((name) => [name, PER_CONNECTION] as const),
  ...["traceparent", "tracestate", "baggage"].map((name) => [name, TRACE] as const),
  ...["x-forwarded-for", "x-forwarded-host", "forwarded"].map((name) => [name, FROM_WHERE] as const),
  ["content-type", CONTENT_TYPE],
]);

const SAID_BY_OUTRIGGER = /^(?:dapr-caller-|dapr-callee-|destination-app-id$)/;

/** Prefix of the headers two Outriggers use between themselves; from anybody else they are dropped. */
const OUTRIGGER_PREFIX = "outrigger-";

// Names as they were written, which repeat from call to call. Bounded, because they come from outside.
const MAX_KNOWN_NAMES = 2000;
const knownNames = new Map<string, number>();

function traitsOf(name: string): number {
  const known = knownNames.get(name);
  if (known !== undefined) return known;
  const traits = findTraits(name.toLowerCase());
  if (knownNames.size < MAX_KNOWN_NAMES) knownNames.set(name, traits);
  return traits;
}

function findTraits(lower: string): number {
  let traits = TRAITS.get(lower) ?? 0;
  if (lower.startsWith(OUTRIGGER_PREFIX)) traits |= HOP_BY_HOP;
  const isBinary = lower.endsWith("-bin");
  // Those of gRPC itself are about one call, the trace among them, which the callee's sidecar writes.
  if (lower.startsWith("grpc-")) traits |= isBinary ? NOT_FOR_AN_APP : RENAMED;
  else if (isBinary) traits |= BINARY;
  if (SAID_BY_OUTRIGGER.test(comparable(lower))) traits |= NOT_FOR_AN_APP | SAID_BY_A_SIDECAR;
  return traits;
}

// Several values may stand in one header, behind commas.
const BASE64_LIST = /^[A-Za-z0-9+/=, ]*$/;

/** What goes on of what an app's request carried: end-to-end headers, without anything only Outrigger may say. */
export function requestHeadersFromApp(received: readonly string[]): RawHeaders {
  return endToEnd(received, PER_CONNECTION | TRACE | NOT_FOR_AN_APP, 0, true);
}

/**
 * The same for a request that another sidecar's caller side has already prepared. A daprd lets pass what its app says of
 * who calls, and puts its own behind it: of several, only the last is a sidecar's.
 */
export function requestHeadersFromPeer(received: readonly string[]): RawHeaders {
  return saidLast(endToEnd(received, PER_CONNECTION, ADDED_BY_A_PEER, false));
}

/** Without who calls whom, but for what was said last of each, however its name is written. */
function saidLast(headers: RawHeaders): RawHeaders {
  let last: Map<string, number> | undefined;
  let isRepeated = false;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? "";
    if ((traitsOf(name) & SAID_BY_A_SIDECAR) === 0) continue;
    const said = comparable(name);
    last ??= new Map();
    isRepeated ||= last.has(said);
    last.set(said, i);
  }
  if (!isRepeated) return headers;
  return headers.filter((_, at) => {
    const place = at - (at % 2);
    const name = headers[place] ?? "";
    return (traitsOf(name) & SAID_BY_A_SIDECAR) === 0 || last?.get(comparable(name)) === place;
  });
}

/** CGI and WSGI apps read `_` and `-` as the same. */
function comparable(name: string): string {
  return name.toLowerCase().replaceAll("_", "-");
}

/** What goes back of what an app answered: its trace headers do not, the sidecar's own answer for the call. */
export function responseHeadersFromApp(received: readonly string[]): RawHeaders {
  return endToEnd(received, TRACE, 0, false);
}

/**
 * @param unlisted traits of what no Connection header takes away.
 * @param fromCaller an empty Content-Type says nothing, and daprd takes it away; of several the first is the message's (A4).
 *   What is to be bytes has to be some.
 */
function endToEnd(received: readonly string[], staysBehind: number, unlisted: number, fromCaller: boolean): RawHeaders {
  const listed = namesListedInConnection(received);
  const kept: RawHeaders = [];
  let isTyped = false;
  for (let i = 0; i < received.length; i += 2) {
    const name = received[i] ?? "";
    const value = received[i + 1] ?? "";
    const traits = traitsOf(name);
    if ((traits & (HOP_BY_HOP | staysBehind)) !== 0) continue;
    if ((traits & unlisted) === 0 && listed?.has(name.toLowerCase()) === true) continue;
    if (fromCaller && (traits & BINARY) !== 0 && !BASE64_LIST.test(value)) continue;
    if (fromCaller && (traits & CONTENT_TYPE) !== 0) {
      if (isTyped || value === "") continue;
      isTyped = true;
    }
    kept.push((traits & RENAMED) === 0 ? name : `Dapr-${name}`, value);
  }
  return kept;
}

/** Of gRPC's own, what says how this one call goes over this one connection. */
const OF_THE_CALL = new Set(["content-type", "grpc-timeout", "grpc-encoding"]);

/**
 * The metadata of a gRPC call that carries a message for an app, as that message's headers.
 *
 * @param contentType the message's; may be empty.
 */
export function headersFromMetadata(metadata: readonly string[], contentType: string): RawHeaders {
  const headers: RawHeaders = [];
  for (let i = 0; i < metadata.length; i += 2) {
    const name = (metadata[i] ?? "").toLowerCase();
    // The name of gRPC's pseudo header, which the listener gives in HTTP/1.1's words.
    if (name === "host") headers.push("Dapr-Authority", metadata[i + 1] ?? "");
    else if (!OF_THE_CALL.has(name)) headers.push(name, metadata[i + 1] ?? "");
  }
  headers.push("Content-Type", contentType);
  return headers;
}

/** Headers that HTTP itself gives a meaning; as metadata they have another name, for gRPC has its own use for some (A5). */
const OF_HTTP = new Set([
  ...["accept", "accept-charset", "accept-language", "accept-ranges", "authorization", "cache-control", "content-type"],
  ...["cookie", "date", "expect", "from", "host", "if-match", "if-modified-since", "if-none-match"],
  ...["if-schedule-tag-match", "if-unmodified-since", "max-forwards", "origin", "pragma", "referer", "user-agent"],
  ...["via", "warning"],
]);

/** @param lowerName of a header. */
export function isOfHttp(lowerName: string): boolean {
  return OF_HTTP.has(lowerName);
}

/** What an HTTP app's answer has in its headers, as metadata for a caller that speaks gRPC. */
export function metadataFromHttpAnswer(headers: readonly string[]): RawHeaders {
  const metadata: RawHeaders = [];
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] ?? "").toLowerCase();
    // The length is the body's, which becomes part of a message; the status is Outrigger's to say.
    if (name === "content-length" || name === "dapr-http-status" || name.endsWith("-bin")) continue;
    metadata.push(isOfHttp(name) ? `dapr-${name}` : name, headers[i + 1] ?? "");
  }
  return metadata;
}

/** What a gRPC app's answer has beside the message: a flat list of its initial, or its trailing, metadata. */
export function metadataFromGrpcAnswer(headers: readonly string[]): RawHeaders {
  return withoutHeaders(headers, (name) => /^(?:dapr-)?grpc-|^content-(?:type|length)$|^traceparent$/.test(name));
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

/**
 * The metadata of a gRPC call that an app has sent, as it goes on: all of it, binary values and what gRPC reserves too,
 * but for what is about one connection, names the target, or is only Outrigger's to say.
 */
export function requestMetadataFromApp(received: readonly string[]): RawHeaders {
  return withoutHeaders(received, (name) => {
    return isOfOneHop(name) || name === "dapr-app-id" || (traitsOf(name) & SAID_BY_A_SIDECAR) !== 0;
  });
}

/** The same for a call that another sidecar's caller side has already prepared; see {@link requestHeadersFromPeer}. */
export function requestMetadataFromPeer(received: readonly string[]): RawHeaders {
  return saidLast(preparedMetadata(received));
}

/**
 * Metadata that a side has already prepared, or what stood behind an answer on any wire: nothing about a connection, which
 * no trailer may say (RFC 9110 6.5.1), and nothing of Outrigger's own.
 */
export function preparedMetadata(received: readonly string[]): RawHeaders {
  return withoutHeaders(received, isOfOneHop);
}

/** The same for trailers that are not here yet. */
export function withPreparedTrailers(response: ResponseMessage): ResponseMessage {
  const { trailers } = response;
  return trailers === undefined ? response : { ...response, trailers: () => preparedMetadata(trailers()) };
}

/** What goes back of what an app has answered to a gRPC call, before its messages and behind them. */
export function withPreparedMetadata(response: ResponseMessage): ResponseMessage {
  return withPreparedTrailers({ ...response, headers: preparedMetadata(response.headers) });
}

function isOfOneHop(name: string): boolean {
  return (traitsOf(name) & (HOP_BY_HOP | PER_CONNECTION)) !== 0;
}

/** Appends what only a gRPC call to another app carries: who calls whom, and the trace in both forms (observed/, "proxy"). */
export function addCallerMetadata(
  metadata: RawHeaders,
  call: { readonly caller: AppIdentity; readonly callee: AppIdentity; readonly trace: TraceContext },
): RawHeaders {
  const { caller, callee, trace } = call;
  const added = withoutHeaders(metadata, (name) => name === "traceparent" || name === "grpc-trace-bin");
  added.push("dapr-caller-app-id", caller.id, "dapr-callee-app-id", callee.id);
  added.push("traceparent", trace.traceparent, "grpc-trace-bin", traceBinOf(trace.traceparent));
  return added;
}

function namesListedInConnection(headers: readonly string[]): Set<string> | undefined {
  const values = headerValues(headers, "connection");
  if (values.length === 0 || (values.length === 1 && /^(?:keep-alive|close)$/i.test(values[0] ?? ""))) return undefined;
  const names = values.join(",").toLowerCase().split(",");
  return new Set(names.map((name) => name.trim()).filter((name) => name !== ""));
}
