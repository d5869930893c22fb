import { CallError, messageOf, OutriggerError } from "../../../core/errors.ts";
import { visible } from "../../../core/go-json.ts";
import { GRPC_CODE } from "../../../core/grpc-code.ts";
import type { ResponseMessage } from "../../../core/message.ts";
import { headerValue, type RawHeaders } from "../../../core/raw-headers.ts";
import {
  type HTTPExtension,
  HTTPExtension_VerbSchema,
  type InvokeRequest,
  InvokeResponseSchema,
} from "../../../gen/dapr/proto/common/v1/common_pb.ts";
import { Dapr } from "../../../gen/dapr/proto/runtime/v1/dapr_pb.ts";
import {
  headersFromMetadata,
  metadataFromGrpcAnswer,
  metadataFromHttpAnswer,
} from "../../../invocation/forward-headers.ts";
import type { Invocation, Invoker } from "../../../invocation/invoker.ts";
import { traceHeadersOf } from "../../http/api-request.ts";
import { wholeBody } from "../../whole-body.ts";
import { statusOfTrailers } from "../answer-status.ts";
import { statusOfHttp } from "../error-status.ts";
import type { GrpcCall } from "../grpc-call.ts";
import { customMetadata } from "../metadata.ts";
import type { GrpcRequest } from "../service.ts";
import { decode, encode, type Method, traceMetadata } from "./methods.ts";

/** `InvokeService`: service invocation by message, deprecated by Dapr and what its SDKs still call (A5). */
export function invokeService(invoker: Pick<Invoker, "invoke">): Method {
  const { name, input } = Dapr.method.invokeService;
  return [
    name,
    async (request) => {
      const { id, message } = decode(input, await request.call.message());
      if (message === undefined) {
        throw new OutriggerError(
          "malformedRequest",
          `failed to invoke, id: ${visible(id)}, err: the request has no message`,
        );
      }
      const response = await invoker.invoke(invocationOf(id, message, request));
      const body = await bodyOf(response, id, request.call);
      if (response.trailers === undefined) answerOfHttp(request, response, body);
      else answerOfGrpc(request, response, body, response.trailers());
    },
  ];
}

function invocationOf(
  target: string,
  message: InvokeRequest,
  { call, metadata, trace, span }: GrpcRequest,
): Invocation {
  const { method, data, httpExtension } = message;
  const invocation: Invocation = {
    target,
    rawPath: pathOf(method),
    methodMissing: method === "",
    method: verbOf(httpExtension),
    query: queryOf(httpExtension),
    headers: headersFromMetadata(metadata, contentTypeOf(message)),
    trace,
    body: data === undefined || data.value.length === 0 ? undefined : data.value,
    contentLength: data?.value.length ?? 0,
    signal: call.signal,
    ...(span === undefined ? {} : { span }),
  };
  const timed = call.deadline === undefined ? invocation : { ...invocation, deadline: call.deadline };
  return data === undefined || data.typeUrl === "" ? timed : { ...timed, dataType: data.typeUrl };
}

/** daprd reads a method as a path in a URL: what is an escape stays one, and what cannot stand in a path becomes one. */
function pathOf(method: string): string {
  const path = method
    .replace(/%(?![0-9A-Fa-f]{2})/g, "%25")
    .replace(/[^\x21-\x7e]|[?#"<>\\^`{|}]/gu, (character) => encodeURIComponent(character));
  return path.startsWith("/") ? path : `/${path}`;
}

function queryOf({ querystring = "" }: Partial<HTTPExtension> = {}): string | undefined {
  return querystring === "" ? undefined : Buffer.from(querystring).toString("latin1");
}

function verbOf(extension: HTTPExtension | undefined): string {
  const number: number = extension?.verb ?? 0;
  const verb = HTTPExtension_VerbSchema.values.find((value) => value.number === number);
  if (verb === undefined) throw new OutriggerError("malformedRequest", `there is no verb of the number ${number}`);
  return verb.name;
}

/** A message within the message is protobuf, whatever else was said of it (pkg/messaging/v1/invoke_method_request.go). */
function contentTypeOf({ data, contentType }: InvokeRequest): string {
  return data === undefined || data.typeUrl === "" ? contentType : "application/x-protobuf";
}

// What one message of protobuf can hold, and a caller with a limit of its own refuses by itself: daprd has none either.
const MAX_MESSAGE_BYTES = 2 ** 31 - 1;
// Beside the body: its type, and a few lengths.
const FIELDS_BYTES = 64 * 1024;

async function bodyOf({ body }: ResponseMessage, id: string, { signal }: GrpcCall): Promise<Uint8Array> {
  try {
    return await wholeBody(body, MAX_MESSAGE_BYTES - FIELDS_BYTES, signal);
  } catch (cause) {
    const kind = cause instanceof CallError && cause.code === "ResourceExhausted" ? "bodyTooLarge" : "invocationFailed";
    throw new OutriggerError(kind, `failed to invoke, id: ${visible(id)}, err: ${messageOf(cause)}`, { cause });
  }
}

/** An HTTP app's answer: a success is the message, anything else a status, and the headers come first either way. */
function answerOfHttp({ call, trace }: GrpcRequest, { status, headers }: ResponseMessage, body: Uint8Array): void {
  const metadata = metadataFromHttpAnswer(headers);
  metadata.push("dapr-http-status", String(status), ...traceHeadersOf(trace), ...traceMetadata(trace));
  if (status >= 200 && status < 300) call.reply(invokeResponse(headers, body), metadata);
  else call.fail(statusOfHttp(status, body), metadata);
}

/** A gRPC app's answer is its own: message, status and metadata. daprd says the trace behind it once more. */
function answerOfGrpc(
  { call, trace }: GrpcRequest,
  { headers, dataType }: ResponseMessage,
  body: Uint8Array,
  appTrailers: RawHeaders,
): void {
  const traced = [...traceHeadersOf(trace), ...traceMetadata(trace)];
  const metadata = [...metadataFromGrpcAnswer(headers), ...traced];
  const trailers = [...metadataFromGrpcAnswer(customMetadata(appTrailers)), ...traced];
  const status = statusOfTrailers(appTrailers);
  if (status.code === GRPC_CODE.OK) call.reply(invokeResponse(headers, body, dataType), metadata, trailers);
  else call.fail(status, metadata, trailers);
}

function invokeResponse(headers: RawHeaders, value: Uint8Array, typeUrl = ""): Uint8Array {
  const contentType = headerValue(headers, "content-type") ?? "";
  return encode(InvokeResponseSchema, { data: { typeUrl, value }, contentType });
}
