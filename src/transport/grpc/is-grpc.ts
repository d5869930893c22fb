import { headerValue } from "../../core/raw-headers.ts";
import type { HttpExchange } from "../http/http-exchange.ts";

// Any subtype is the caller's and the callee's own business: `+proto`, `+json`, and none at all.
const CONTENT_TYPE = /^application\/grpc(?:\+[\w.-]+)?(?:\s*;|$)/i;

export function isGrpcType(contentType: string): boolean {
  return CONTENT_TYPE.test(contentType);
}

/** Whether this is a call of gRPC, on a wire that can carry its status. */
export function isGrpc({ method, rawHeaders, sendsTrailers }: HttpExchange): boolean {
  return sendsTrailers === true && method === "POST" && isGrpcType(headerValue(rawHeaders, "content-type") ?? "");
}
