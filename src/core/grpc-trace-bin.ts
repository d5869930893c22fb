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

const NO_TRACE = ["", "0".repeat(32), "0".repeat(16), "00"] as const;
