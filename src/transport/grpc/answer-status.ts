import { constants } from "node:http2";
import { GRPC_CODE, type GrpcCodeName } from "../../core/grpc-code.ts";
import type { ResponseMessage } from "../../core/message.ts";
import { headerValue } from "../../core/raw-headers.ts";
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

/** gRPC over HTTP/2, "HTTP2 Transport Mapping, Errors". */
const CODE_OF_RESET: Readonly<Record<number, GrpcCodeName>> = {
  [constants.NGHTTP2_STREAM_CLOSED]: "UNKNOWN",
  [constants.NGHTTP2_REFUSED_STREAM]: "UNAVAILABLE",
  [constants.NGHTTP2_CANCEL]: "CANCELLED",
  [constants.NGHTTP2_ENHANCE_YOUR_CALM]: "RESOURCE_EXHAUSTED",
  [constants.NGHTTP2_INADEQUATE_SECURITY]: "PERMISSION_DENIED",
  [constants.NGHTTP2_HTTP_1_1_REQUIRED]: "UNKNOWN",
};

/** @param rstCode of the RST_STREAM with which the other side has ended a call. */
export function statusOfReset(rstCode: number, message: string): GrpcStatus {
  return { code: GRPC_CODE[CODE_OF_RESET[rstCode] ?? "INTERNAL"], message };
}

/** What an answer says that is none of gRPC; undefined where it is one, whose trailers tell. */
export function statusOfForeign({ status, headers }: ResponseMessage): GrpcStatus | undefined {
  const type = headerValue(headers, "content-type") ?? "";
  if (status === 200 && /^application\/grpc\b/i.test(type)) return undefined;
  // Of a proxy that speaks gRPC, and of a server that says nothing but its status.
  const said = statusIn(headers);
  if (said !== undefined && said.code !== GRPC_CODE.OK) return said;
  const code = CODE_OF_HTTP[status] ?? "UNKNOWN";
  return { code: GRPC_CODE[code], message: `the answer is not gRPC: HTTP status ${status}, ${typeWords(type)}` };
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

function typeWords(type: string): string {
  return type === "" ? "no Content-Type" : `Content-Type ${type}`;
}
