import { GRPC_CODE, type GrpcCodeName } from "../../core/grpc-code.ts";
import type { ResponseMessage } from "../../core/message.ts";
import { headerValue } from "../../core/raw-headers.ts";
import { isGrpcType } from "./is-grpc.ts";
import { type GrpcStatus, statusIn } from "./status.ts";

/** How a call has ended where its answer does not say so in gRPC's own words. */

/** gRPC, "HTTP to gRPC Status Code Mapping". */
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

/** What an answer says that is none of gRPC; undefined where it is one, whose trailers tell. */
export function statusOfForeign({ status, headers }: ResponseMessage): GrpcStatus | undefined {
  const type = headerValue(headers, "content-type") ?? "";
  if (status === 200 && isGrpcType(type)) return undefined;
  // Of a proxy that speaks gRPC, and of a server that says nothing but its status.
  const said = statusIn(headers);
  if (said !== undefined && said.code !== GRPC_CODE.OK) return said;
  const code = CODE_OF_HTTP[status] ?? "UNKNOWN";
  return { code: GRPC_CODE[code], message: `the answer is not gRPC: HTTP status ${status}, ${typeWords(type)}` };
}

/** What a call ends with whose answer is over, by what came behind it. */
export function statusOfTrailers(trailers: readonly string[]): GrpcStatus {
  return statusIn(trailers) ?? { code: GRPC_CODE.INTERNAL, message: "the answer ended without a grpc-status" };
}

function typeWords(type: string): string {
  return type === "" ? "no Content-Type" : `Content-Type ${type}`;
}
