import { GRPC_CODE } from "../../core/grpc-code.ts";
import { traceContextOfMetadata } from "../../core/grpc-trace-bin.ts";
import type { Span, Tracer } from "../../core/tracer.ts";
import { attributesFromHeaders } from "../../invocation/span-attributes.ts";
import type { GrpcCall } from "./grpc-call.ts";

/** A span around a call to the gRPC API. It ends with the call, which its status tells. */
export function beginCallSpan(tracer: Tracer, call: GrpcCall): Span {
  const { path, metadata } = call;
  const span = tracer.start("client", path, traceContextOfMetadata(metadata));
  if (span.isSampled) {
    span.describe({ ...attributesFromHeaders(metadata), "dapr.protocol": "grpc", "dapr.api": path });
  }
  call.whenEnded(({ code, message }) => {
    span.end({ grpcCode: code, message: code === GRPC_CODE.OK ? undefined : message });
  });
  return span;
}
