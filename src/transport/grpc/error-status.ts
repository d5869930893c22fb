import { create, toBinary } from "@bufbuild/protobuf";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import { CallError, ERROR_DOMAIN, messageOf, OutriggerError } from "../../core/errors.ts";
import { GRPC_CODE, type GrpcCodeName, grpcCodeIn } from "../../core/grpc-code.ts";
import type { Logger } from "../../core/logger.ts";
import { ErrorInfoSchema, ResourceInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { CircuitOpen } from "../../resiliency/circuit-breaker.ts";
import { TimedOut } from "../../resiliency/policy-runner.ts";
import { goStatusText } from "./go-status-text.ts";
import type { GrpcCall } from "./grpc-call.ts";
import { GrpcError, type GrpcStatus } from "./status.ts";

/** The one place where errors become a status of gRPC. */

function statusOf(error: unknown, log: Logger): GrpcStatus {
  if (error instanceof GrpcError) return error.status;
  if (error instanceof OutriggerError) return describedStatus(error);
  if (error instanceof CallError) return { code: error.grpcCode, message: error.message };
  log.error("a gRPC call failed inside Outrigger", {
    error: messageOf(error),
    stack: error instanceof Error ? error.stack : undefined,
  });
  return { code: GRPC_CODE.INTERNAL, message: `Outrigger failed to handle this call: ${messageOf(error)}` };
}

/** The same for what kept `call` from being answered: where its time is up, that is why, whatever broke because of it. */
export function statusOfFailed(call: GrpcCall, error: unknown, log: Logger): GrpcStatus {
  return call.signal.aborted ? statusOfGivenUp(call) : statusOf(error, log);
}

/** Its time is up, or its caller has left; what broke because of that is no failure of ours. */
function statusOfGivenUp({ signal }: GrpcCall): GrpcStatus {
  const { reason } = signal;
  return reason instanceof GrpcError ? reason.status : { code: GRPC_CODE.CANCELLED, message: messageOf(reason) };
}

/** The same for what kept a proxied call from its app: without what stands around it for callers over HTTP. */
export function statusOfProxied(call: GrpcCall, error: unknown, log: Logger): GrpcStatus {
  if (call.signal.aborted) return statusOfGivenUp(call);
  const told = error instanceof OutriggerError && error.cause !== undefined ? error.cause : error;
  if (told instanceof CallError || told instanceof TimedOut || told instanceof CircuitOpen) {
    return { code: grpcCodeIn(told) ?? GRPC_CODE.UNKNOWN, message: told.message };
  }
  return statusOf(told, log);
}

/** An error that daprd gives a reason has details. */
function describedStatus({ grpcCode, message, reason, resource, infoMetadata }: OutriggerError): GrpcStatus {
  const code = GRPC_CODE[grpcCode];
  if (reason === undefined) return { code, message };
  const said = create(ErrorInfoSchema, { reason, domain: ERROR_DOMAIN, metadata: { ...infoMetadata } });
  const info = anyPack(ErrorInfoSchema, said);
  if (resource === undefined) return withDetails(code, message, [info]);
  const { type: resourceType, name: resourceName } = resource;
  const about = create(ResourceInfoSchema, { resourceType, resourceName, description: message });
  return withDetails(code, message, [anyPack(ResourceInfoSchema, about), info]);
}

// daprd's CodeFromHTTPStatus (pkg/messaging/v1/util.go); all others are UNKNOWN.
const CODE_OF_HTTP_STATUS: Readonly<Record<number, GrpcCodeName>> = {
  400: "INTERNAL",
  401: "UNAUTHENTICATED",
  403: "PERMISSION_DENIED",
  404: "NOT_FOUND",
  408: "CANCELLED",
  409: "ALREADY_EXISTS",
  429: "RESOURCE_EXHAUSTED",
  501: "UNIMPLEMENTED",
  503: "UNAVAILABLE",
  504: "DEADLINE_EXCEEDED",
};

// What daprd leaves of the body in `http.error_message`.
const MAX_ERROR_MESSAGE_BYTES = 63;

/** What an HTTP status that is no success means to a caller over gRPC. @param body what came with it. */
export function statusOfHttp(httpStatus: number, body: Uint8Array): GrpcStatus {
  const text = goStatusText(httpStatus);
  const metadata = { "http.code": String(httpStatus), "http.error_message": beginningOf(body) };
  const info = create(ErrorInfoSchema, { reason: text, domain: ERROR_DOMAIN, metadata });
  const code = GRPC_CODE[CODE_OF_HTTP_STATUS[httpStatus] ?? "UNKNOWN"];
  return withDetails(code, text, [anyPack(ErrorInfoSchema, info)]);
}

/** Cut where a character ends: a string of protobuf is UTF-8. */
function beginningOf(body: Uint8Array): string {
  const text = new TextDecoder().decode(body.subarray(0, MAX_ERROR_MESSAGE_BYTES), { stream: true });
  // What is no UTF-8 has become longer.
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= MAX_ERROR_MESSAGE_BYTES) return text;
  return new TextDecoder().decode(bytes.subarray(0, MAX_ERROR_MESSAGE_BYTES), { stream: true });
}

function withDetails(code: number, message: string, details: Any[]): GrpcStatus {
  const status = create(StatusSchema, { code, message, details });
  return { code, message, details: toBinary(StatusSchema, status) };
}
