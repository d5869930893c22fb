import { traceBinOf } from "../../core/grpc-trace-bin.ts";
import { headerValue, type RawHeaders } from "../../core/raw-headers.ts";
import { traceContextOf } from "../../core/trace-context.ts";
import { isOfHttp } from "../../invocation/forward-headers.ts";
import { decodeBinary, encodeBinary } from "../grpc/metadata.ts";

/** The headers of a call as the metadata that a gRPC app gets with it (A4, pkg/messaging/v1/util.go). */

/** What HTTP has of its own goes by another name, so that it is not taken for the app's own HTTP/2; credentials are the app's. */
function isRenamed(lowerName: string): boolean {
  return isOfHttp(lowerName) && lowerName !== "authorization";
}

/** Said by this sidecar, or by the caller's wire about itself. */
const NOT_PASSED = /^(?:grpc-|dapr-grpc-|(?:dapr-authority|user-agent|content-length|te|host|traceparent|tracestate)$)/;

// gRPC over HTTP/2, "Custom-Metadata". What is anything else, no gRPC library takes.
const NAME = /^[0-9a-z_.-]+$/;
const VALUE = /^[\x20-\x7e]*$/;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** What is no metadata is left out. @param bodyBytes as the caller announced them. */
export function onInvokeMetadata(headers: readonly string[], bodyBytes: number | undefined): RawHeaders {
  // Only what came over gRPC has one.
  const isFromHttp = headerValue(headers, "dapr-authority") === undefined;
  const metadata: RawHeaders = [];
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] ?? "").toLowerCase();
    if (!NAME.test(name) || NOT_PASSED.test(name)) continue;
    if (name === "content-type" && !isFromHttp) continue;
    const value = name.endsWith("-bin") ? binaryValue(headers[i + 1] ?? "") : (headers[i + 1] ?? "");
    if (value === undefined || !VALUE.test(value)) continue;
    metadata.push(isFromHttp && isRenamed(name) ? `dapr-${name}` : name, value);
  }
  if (isFromHttp && bodyBytes !== undefined && bodyBytes > 0) metadata.push("dapr-content-length", String(bodyBytes));
  metadata.push(...traceMetadata(headers));
  return metadata;
}

/** As gRPC writes it; undefined for what is no base64. Several values may stand in one, behind commas. */
function binaryValue(text: string): string | undefined {
  const parts = text.split(",").map((part) => part.trim());
  if (!parts.every((part) => BASE64.test(part))) return undefined;
  return parts.map((part) => encodeBinary(decodeBinary(part))).join(",");
}

/** The trace once as text and once as OpenCensus has it in binary, for libraries that read but one of them. */
function traceMetadata(headers: readonly string[]): RawHeaders {
  const { answeredTraceparent: traceparent, tracestate } = traceContextOf(headers);
  const metadata = ["traceparent", traceparent];
  if (tracestate !== undefined && VALUE.test(tracestate)) metadata.push("tracestate", tracestate);
  metadata.push("grpc-trace-bin", traceBinOf(traceparent));
  return metadata;
}
