import http from "node:http";
import { GRPC_CODE, type GrpcCodeName } from "../../core/grpc-code.ts";
import type { ResponseMessage } from "../../core/message.ts";
import { headerValue } from "../../core/raw-headers.ts";
import { isGrpcType } from "./is-grpc.ts";
import { type GrpcStatus, statusIn } from "./status.ts";

/** How a call has ended where its answer does not say so in gRPC's own words. */

/** gRPC, "HTTP to gRPC Status Code Mapping". What resets mean, `StreamReset` knows. */
const CODE_OF_HTTP: Readonly<Record<number, GrpcCodeName>> = {
  400: "INTERNAL",
  401: "UNAUTHENTICATED",
  403: "PERMISSION_DENIED",
  404: "UNIMPLEMENTED",
  429: "UNAVAILABLE",
  502: "UNAVAILABLE",
  503: "UNAVAILABLE",
  504: "UNAVAILABLE",
};

/** What an answer says that is none of gRPC, as grpc-go says it; undefined where it is one, whose trailers tell. */
export function statusOfForeign({ status, headers }: ResponseMessage): GrpcStatus | undefined {
  const type = headerValue(headers, "content-type");
  const said = statusIn(headers);
  const isTyped = type !== undefined && isGrpcType(type);
  if (isTyped && (status === 200 || said !== undefined)) return undefined;
  // Of a server that says nothing but its status.
  if (said !== undefined && said.code !== GRPC_CODE.OK) return said;
  const what = `unexpected HTTP status code received from server: ${status} (${http.STATUS_CODES[status] ?? ""})`;
  const code = GRPC_CODE[CODE_OF_HTTP[status] ?? "UNKNOWN"];
  return { code, message: isTyped ? what : `${what}; ${typeWords(type)}` };
}

/** What a call ends with whose answer is over, by what came behind it. */
export function statusOfTrailers(trailers: readonly string[]): GrpcStatus {
  return statusIn(trailers) ?? NO_STATUS;
}

/** Of an answer that has none. As grpc-go says it. */
export const NO_STATUS: GrpcStatus = {
  code: GRPC_CODE.INTERNAL,
  message: "server closed the stream without sending trailers",
};

function typeWords(type: string | undefined): string {
  return type === undefined
    ? "malformed header: missing HTTP content-type"
    : `received unexpected content-type "${type}"`;
}
