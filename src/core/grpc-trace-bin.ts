import { headerValue, type RawHeaders, withoutHeaders } from "./raw-headers.ts";
import { type TraceContext, traceContextOf } from "./trace-context.ts";

/**
 * `grpc-trace-bin`, the trace context of gRPC before W3C's: a version, then fields, each behind its number: 16 bytes of
 * trace id, 8 of span id, one of flags (OpenCensus, "BinaryEncoding").
 */

const FORM = /^0000([0-9a-f]{32})01([0-9a-f]{16})02([0-9a-f]{2})$/;

/** The `traceparent` that says the same; undefined where it is none of this form. @param value base64. */
export function traceparentOfBin(value: string): string | undefined {
  const [, trace, span, flags] = FORM.exec(Buffer.from(value, "base64").toString("hex")) ?? [];
  return trace === undefined ? undefined : `00-${trace}-${span}-${flags}`;
}

/** In base64 without padding. A traceparent that is none is no trace, which is all zeros. */
export function traceBinOf(traceparent: string): string {
  const [, trace, span, flags] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(traceparent) ?? NO_TRACE;
  return Buffer.from(`0000${trace}01${span}02${flags}`, "hex").toString("base64").replace(/=+$/, "");
}

/** The trace context of gRPC's metadata, where W3C's form goes before gRPC's own. */
export function traceContextOfMetadata(metadata: readonly string[]): TraceContext {
  const bin = headerValue(metadata, "traceparent") === undefined ? headerValue(metadata, "grpc-trace-bin") : undefined;
  const traceparent = bin === undefined ? undefined : traceparentOfBin(bin);
  return traceContextOf(traceparent === undefined ? metadata : ["traceparent", traceparent, ...metadata]);
}

/** The metadata of a call that goes on under another span, which it names in both forms. */
export function metadataWithTraceparent(metadata: readonly string[], traceparent: string): RawHeaders {
  const kept = withoutHeaders(metadata, (name) => name === "traceparent" || name === "grpc-trace-bin");
  kept.push("traceparent", traceparent, "grpc-trace-bin", traceBinOf(traceparent));
  return kept;
}

const NO_TRACE = ["", "0".repeat(32), "0".repeat(16), "00"] as const;
