import { GRPC_CODE, type GrpcCodeName } from "../core/grpc-code.ts";
import type { ResponseMessage } from "../core/message.ts";
import { headerValue } from "../core/raw-headers.ts";
import type { GrpcErrorStatus } from "../resources/configuration.ts";

/** The status over HTTP of what a gRPC app has answered. */

/** daprd's (pkg/messaging/v1/util.go, HTTPStatusFromCode); 500 where nothing is said. */
const MAPPED: Readonly<Partial<Record<GrpcCodeName, number>>> = {
  OK: 200,
  CANCELLED: 408,
  INVALID_ARGUMENT: 400,
  DEADLINE_EXCEEDED: 504,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  PERMISSION_DENIED: 403,
  RESOURCE_EXHAUSTED: 429,
  FAILED_PRECONDITION: 400,
  ABORTED: 409,
  OUT_OF_RANGE: 400,
  UNIMPLEMENTED: 501,
  UNAVAILABLE: 503,
  UNAUTHENTICATED: 401,
};

const STATUS_OF_CODE: ReadonlyMap<string, number> = new Map(
  Object.entries(MAPPED).map(([name, status]) => [String(GRPC_CODE[name as GrpcCodeName]), status]),
);

/** The same answer with the status that an HTTP caller gets: of an error 500 (seed 000), or what daprd makes of its code. */
export function withHttpStatus(response: ResponseMessage, rule: GrpcErrorStatus): ResponseMessage {
  if (rule === "fixed" || response.trailers === undefined) return response;
  const code = headerValue(response.trailers(), "grpc-status") ?? "";
  return { ...response, status: STATUS_OF_CODE.get(code) ?? 500 };
}
