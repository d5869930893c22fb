import { isUtf8 } from "node:buffer";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { Any, AnySchema } from "@bufbuild/protobuf/wkt";
import type { AppIdentity } from "../../core/app-id.ts";
import { CallError } from "../../core/errors.ts";
import { goQuote } from "../../core/go-json.ts";
import { GRPC_CODE } from "../../core/grpc-code.ts";
import { traceBinOf, traceparentOfBin } from "../../core/grpc-trace-bin.ts";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import { headerValue, type RawHeaders, withoutHeaders } from "../../core/raw-headers.ts";
import { type TraceContext, traceContextOf } from "../../core/trace-context.ts";
import {
  HTTPExtension_Verb,
  type InvokeRequest,
  type InvokeResponse,
} from "../../gen/dapr/proto/common/v1/common_pb.ts";
import { APIVersion } from "../../gen/dapr/proto/internals/v1/apiversion_pb.ts";
import {
  type InternalInvokeRequest,
  InternalInvokeRequestSchema,
  type InternalInvokeResponse,
  InternalInvokeResponseSchema,
  type ListStringValue,
} from "../../gen/dapr/proto/internals/v1/service_invocation_pb.ts";
import type { Status } from "../../gen/dapr/proto/internals/v1/status_pb.ts";
import { StatusSchema as RpcStatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { addTraceHeaders, preparedMetadata, requestHeadersFromPeer } from "../../invocation/forward-headers.ts";
import { normaliseMethodPath } from "../../invocation/method-path.ts";
import { normaliseQuery } from "../../invocation/query.ts";
import { statusIn, statusTrailers } from "../grpc/status.ts";
import { isHeaderName, isHeaderValue } from "../http1/message-writer.ts";
import { PATH_HEADER } from "./peer-wire.ts";

/**
 * A call between doors as a message of daprd's ServiceInvocation, and back (A5, observed/): everything but the bodies, and
 * what of it stands in the metadata of the gRPC call. Names and values of headers are UTF-8 there, and latin1 code units
 * here.
 */

type Values = Readonly<Record<string, ListStringValue>>;

/** A request without its body and who waits for it. */
export type RequestHead = Pick<RequestMessage, "method" | "path" | "query" | "headers" | "contentLength" | "dataType">;

/**
 * @param metadata of the gRPC call.
 * @param contentLength where the body is in the message, and so known; else the caller's own header says it.
 * @throws {CallError} InvalidArgument, for a path, a query, a verb or a header that no call can have.
 */
export function requestIn(
  { metadata: values, message }: InternalInvokeRequest,
  metadata: readonly string[],
  contentLength?: number,
): RequestHead {
  const { method = "", httpExtension, data } = message ?? {};
  const contentType = contentTypeIn(message);
  const sent = headersIn(values);
  const headers = requestHeadersFromPeer(withoutHeaders(sent, isSaidElsewhere));
  if (contentType !== "") headers.unshift("Content-Type", toLatin1(contentType));
  addTraceHeaders(headers, traceIn(sent, metadata));
  const unwritable = unwritableIn(headers);
  if (unwritable !== undefined) throw new CallError("InvalidArgument", `the calling sidecar sent ${unwritable}`);
  const query = httpExtension?.querystring ?? "";
  const head = {
    method: verbIn(httpExtension?.verb),
    path: pathIn(method, headerValue(metadata, PATH_HEADER)),
    query: query === "" ? undefined : normaliseQuery(toLatin1(query)),
    headers,
    contentLength: contentLength ?? lengthIn(sent),
  };
  return withDataType(head, data);
}

/** The id of the app that the call is for, where its caller says so. */
export function destinationIn({ metadata }: InternalInvokeRequest): string | undefined {
  return headerValue(headersIn(metadata), "destination-app-id");
}

/** @param data the body, where it goes in the same message. */
export function internalRequestOf(
  { path, query, method, headers, body, contentLength, dataType }: RequestMessage,
  callee: AppIdentity,
  data?: Uint8Array,
): InternalInvokeRequest {
  const sent = withoutHeaders(headers, (name) => name === "traceparent" && headerValue(headers, name) === NO_TRACE);
  sent.push("destination-app-id", callee.id);
  if (body !== undefined && contentLength !== undefined) sent.push("Content-Length", String(contentLength));
  const verb = VERBS[method];
  return create(InternalInvokeRequestSchema, {
    ver: APIVersion.V1,
    metadata: valuesOf(sent),
    message: {
      method: methodOf(path),
      contentType: toUtf8(headerValue(headers, "content-type") ?? ""),
      ...(verb === undefined ? {} : { httpExtension: { verb, querystring: toUtf8(query ?? "") } }),
      ...anyOf(dataType, data),
    },
  });
}

/** What goes beside the message, in the metadata of the gRPC call. */
export function callMetadataOf({ headers, path }: RequestMessage): RawHeaders {
  const trace = traceContextOf(headers);
  const metadata: RawHeaders = ["grpc-trace-bin", traceBinOf(trace.traceparent)];
  for (const name of ["traceparent", "tracestate", "baggage"] as const) {
    const value = trace[name];
    if (value !== undefined) metadata.push(name, value);
  }
  // Only an Outrigger will look at it: a path that is to be preserved would not survive daprd's form.
  if (pathOf(methodOf(path)) !== path) metadata.push(PATH_HEADER, path);
  return metadata;
}

/** @param data the body, where it goes in the same message. */
export function internalResponseOf(response: ResponseMessage, data?: Uint8Array): InternalInvokeResponse {
  const { status, headers, dataType } = response;
  const trailers = response.trailers?.();
  const contentType = toUtf8(headerValue(headers, "content-type") ?? "");
  return create(InternalInvokeResponseSchema, {
    status: trailers === undefined ? { code: status } : appStatusIn(trailers),
    headers: valuesOf(withoutHeaders(headers, (name) => name === "content-length")),
    trailers: trailers === undefined ? {} : valuesOf(withoutHeaders(trailers, isStatusTrailer)),
    message: { contentType, ...anyOf(dataType, data) },
  });
}

/**
 * An answer without its body.
 *
 * @param callee whose sidecar it comes from.
 * @throws {CallError} Internal, where it has no status, or a header, that could be passed on.
 */
export function responseIn(
  { status, headers, trailers, message }: InternalInvokeResponse,
  callee: AppIdentity,
): ResponseMessage {
  if (status === undefined) throw new CallError("Internal", "response does not contain the required fields");
  const isFromGrpcApp = status.code < MIN_HTTP_STATUS;
  // The length is that of the pieces, whatever is said of it.
  const sent = withoutHeaders(headersIn(headers), (name) => name === "content-length");
  const isType = (name: string): boolean => name === "content-type";
  const contentType = toLatin1(contentTypeIn(message));
  const kept = contentType === "" && !isFromGrpcApp ? sent : withoutHeaders(sent, isType);
  if (contentType !== "") kept.unshift("Content-Type", contentType);
  const behind = headersIn(trailers);
  const unwritable = unwritableIn([...kept, ...behind]);
  if (unwritable !== undefined) {
    throw new CallError("Internal", `the sidecar of ${callee.id} answered with ${unwritable}`);
  }
  if (isFromGrpcApp) {
    const all = [...appTrailersOf(status), ...withoutHeaders(preparedMetadata(behind), isStatusTrailer)];
    const httpStatus = status.code === GRPC_CODE.OK ? 200 : 500;
    const answer = { status: httpStatus, statusText: "", headers: kept, body: undefined, trailers: () => all };
    return withDataType(answer, message?.data);
  }
  if (status.code < MIN_FINAL_STATUS || status.code > MAX_STATUS) {
    throw new CallError("Internal", `the app's status is ${status.code}, which is none of HTTP`);
  }
  return { status: status.code, statusText: "", headers: kept, body: undefined };
}

/** Where the body goes in pieces, the type of the Any stays behind without it, as in daprd. */
function anyOf(
  typeUrl: string | undefined,
  value: Uint8Array | undefined,
): { data?: MessageInitShape<typeof AnySchema> } {
  if (typeUrl === undefined && value === undefined) return {};
  return { data: { ...(typeUrl === undefined ? {} : { typeUrl }), ...(value === undefined ? {} : { value }) } };
}

function withDataType<T extends object>(head: T, data: Any | undefined): T & { readonly dataType?: string } {
  return data === undefined || data.typeUrl === "" ? head : { ...head, dataType: data.typeUrl };
}

/** A message within the message is protobuf, whatever else was said of it (pkg/messaging/v1/invoke_method_request.go). */
function contentTypeIn(message: InvokeRequest | InvokeResponse | undefined): string {
  return (message?.data?.typeUrl ?? "") === "" ? (message?.contentType ?? "") : "application/x-protobuf";
}

// Smaller ones are gRPC's (A5).
const MIN_HTTP_STATUS = 100;
const MIN_FINAL_STATUS = 200;
const MAX_STATUS = 999;

const NO_TRACE = traceContextOf([]).traceparent;

// In the order of their numbers; NONE is what has none.
const VERBS: Readonly<Record<string, HTTPExtension_Verb>> = {
  GET: HTTPExtension_Verb.GET,
  HEAD: HTTPExtension_Verb.HEAD,
  POST: HTTPExtension_Verb.POST,
  PUT: HTTPExtension_Verb.PUT,
  DELETE: HTTPExtension_Verb.DELETE,
  OPTIONS: HTTPExtension_Verb.OPTIONS,
  TRACE: HTTPExtension_Verb.TRACE,
  PATCH: HTTPExtension_Verb.PATCH,
};

function verbIn(sent: HTTPExtension_Verb = HTTPExtension_Verb.NONE): string {
  if (sent === HTTPExtension_Verb.NONE) return "NONE";
  const [name] = Object.entries(VERBS).find(([, verb]) => verb === sent) ?? [];
  if (name === undefined) throw new CallError("InvalidArgument", `not implemented http method: ${sent}`);
  return name;
}

/** Headers of the caller that the message has a field for, that are written anew, or that are for the sidecar alone. */
function isSaidElsewhere(name: string): boolean {
  return SAID_ELSEWHERE.has(name);
}

const SAID_ELSEWHERE = new Set([
  // The message came over a connection of its own: this one's list is about another.
  "connection",
  ...["content-type", "destination-app-id", "traceparent", "tracestate", "baggage", "grpc-trace-bin"],
]);

/** The caller's own headers hold before those of its sidecar's call, as in daprd. */
function traceIn(sent: readonly string[], metadata: readonly string[]): TraceContext {
  const isSent = headerValue(sent, "traceparent") !== undefined;
  const trace = traceContextOf(isSent ? sent : metadata);
  const baggage = headerValue(sent, "baggage") ?? headerValue(metadata, "baggage");
  if (isSent || headerValue(metadata, "traceparent") !== undefined) return { ...trace, baggage };
  const traceparent = traceparentOfBin(headerValue(metadata, "grpc-trace-bin") ?? "") ?? trace.traceparent;
  return { ...trace, traceparent, baggage };
}

function lengthIn(headers: readonly string[]): number | undefined {
  const sent = headerValue(headers, "content-length");
  return sent !== undefined && /^\d{1,15}$/.test(sent) ? Number(sent) : undefined;
}

/** gRPC keeps names with a colon to itself; an app gets them under another one (A4). */
function headersIn(values: Values): RawHeaders {
  const headers: RawHeaders = [];
  for (const [name, list] of inOrder(values)) {
    const known = name.startsWith(":") ? `dapr-${name.slice(1)}` : name;
    for (const value of list.values) headers.push(toLatin1(known), toLatin1(value));
  }
  return headers;
}

// What a daprd says itself of who calls whom, as it writes it.
const SAID_BY_DAPRD = /^dapr-calle[re]-/;

/** A map has no order, and what a daprd says holds before what its app has said in other letters: it goes last. */
function inOrder(values: Values): [name: string, list: ListStringValue][] {
  const entries = Object.entries(values);
  return [
    ...entries.filter(([name]) => !SAID_BY_DAPRD.test(name)),
    ...entries.filter(([name]) => SAID_BY_DAPRD.test(name)),
  ];
}

/** The first header that no message of HTTP can have, in words. */
function unwritableIn(headers: readonly string[]): string | undefined {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? "";
    if (!isHeaderName(name)) return `${goQuote(toUtf8(name))}, which is not a header name`;
    if (!isHeaderValue(headers[i + 1] ?? "")) return `the header ${name} with a character that no header may have`;
  }
  return undefined;
}

function valuesOf(headers: readonly string[]): Record<string, { values: string[] }> {
  const byName = new Map<string, { readonly name: string; readonly values: string[] }>();
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? "";
    const lower = name.toLowerCase();
    // As daprd writes its own.
    const entry = byName.get(lower) ?? { name: lower.startsWith("dapr-") ? lower : name, values: [] };
    entry.values.push(toUtf8(headers[i + 1] ?? ""));
    byName.set(lower, entry);
  }
  return Object.fromEntries([...byName.values()].map(({ name, values }) => [toUtf8(name), { values }]));
}

/** They are said by the message's own fields. */
function isStatusTrailer(name: string): boolean {
  return STATUS_TRAILERS.has(name);
}

const STATUS_TRAILERS = new Set(["grpc-status", "grpc-message", "grpc-status-details-bin"]);

function appStatusIn(trailers: readonly string[]): Pick<Status, "code" | "message" | "details"> {
  const { code, message, details } = statusIn(trailers) ?? {
    code: GRPC_CODE.UNKNOWN,
    message: "the app gave no status",
  };
  return { code, message, details: details === undefined ? [] : detailsIn(details) };
}

function detailsIn(bytes: Uint8Array): Status["details"] {
  try {
    return fromBinary(RpcStatusSchema, bytes).details;
  } catch {
    // Whatever the app meant by them; code and message are worth more.
    return [];
  }
}

function appTrailersOf({ code, message, details }: Status): RawHeaders {
  if (details.length === 0) return statusTrailers({ code, message });
  const bytes = toBinary(RpcStatusSchema, create(RpcStatusSchema, { code, message, details }));
  return statusTrailers({ code, message, details: bytes });
}

/** As daprd sends it: decoded and without its first slash, but for what would then end the path, or be no text. */
function methodOf(path: string): string {
  return path.slice(1).replace(/(?:%[0-9A-Fa-f]{2})+/g, (escapes) => {
    const bytes = Buffer.from(escapes.replaceAll("%", ""), "hex");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
    return isUtf8(bytes) ? bytes.toString("utf8").replace(/[%/?#\x00-\x1f\x7f]/g, escaped) : escapes;
  });
}

/**
 * An escape in it stands for what it escapes, as for daprd; a percent sign that begins none, for itself.
 *
 * @throws {CallError} InvalidArgument, for characters that no method may contain.
 */
function pathOf(method: string): string {
  const bytes = Buffer.from(method.replace(/^\//, "")).toString("latin1");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are left for what refuses them.
  const raw = bytes.replace(/%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~!$&'()*+,;=:@/%?#\x00-\x1f\x7f]/g, escaped);
  return normaliseMethodPath(`/${raw}`, { preserve: true }).wire;
}

/**
 * @param preserved the path as an Outrigger's app has written it, which the method says too, if less exactly. Whoever looks
 *   at the call on its way sees the method.
 * @throws {CallError} InvalidArgument, where they are two paths, or there is none that could be sent.
 */
function pathIn(method: string, preserved: string | undefined): string {
  const path = pathOf(method);
  if (preserved === undefined) return path;
  if (WRITTEN_PATH.test(preserved) && cleaned(preserved) === cleaned(path)) return preserved;
  throw new CallError(
    "InvalidArgument",
    `invalid method: ${PATH_HEADER} is ${goQuote(preserved)}, which is not the path of ${goQuote(method)}`,
  );
}

// In origin-form (RFC 9112 3.2.1): what would end it does not stand in a request line.
const WRITTEN_PATH = /^\/[\x21\x22\x24-\x3e\x40-\x7e]*$/;

function cleaned(path: string): string {
  return normaliseMethodPath(path, { preserve: false }).wire;
}

function escaped(byte: string): string {
  return `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
}

function toLatin1(text: string): string {
  return isAscii(text) ? text : Buffer.from(text, "utf8").toString("latin1");
}

function toUtf8(text: string): string {
  return isAscii(text) ? text : Buffer.from(text, "latin1").toString("utf8");
}

function isAscii(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII is meant.
  return /^[\x00-\x7f]*$/.test(text);
}
