import { decodeBinary, encodeBinary } from "./metadata.ts";

/**
 * `grpc-trace-bin`: a span's context in binary (OpenCensus, BinaryEncoding). A version, then fields, each behind its number:
 * 16 bytes of trace, 8 of span, 1 of flags.
 */

const TRACE_FIELD = 0;
const SPAN_FIELD = 1;
const FLAGS_FIELD = 2;
const LENGTH = 1 + 1 + 16 + 1 + 8 + 1 + 1;
const SPAN_AT = 18;
const FLAGS_AT = 27;
const PARTS = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})/;

/** The value for a `traceparent`; of no trace where that is malformed. */
export function traceBinOf(traceparent: string): string {
  const [, trace = "", span = "", flags = ""] = PARTS.exec(traceparent) ?? [];
  const bytes = Buffer.alloc(LENGTH);
  bytes[1] = TRACE_FIELD;
  bytes.write(trace, 2, "hex");
  bytes[SPAN_AT] = SPAN_FIELD;
  bytes.write(span, SPAN_AT + 1, "hex");
  bytes[FLAGS_AT] = FLAGS_FIELD;
  bytes.write(flags, FLAGS_AT + 1, "hex");
  return encodeBinary(bytes);
}

/** The `traceparent` that a value means; undefined where it is malformed. */
export function traceparentIn(value: string): string | undefined {
  const bytes = Buffer.from(decodeBinary(value));
  const isWhole = bytes.length === LENGTH && bytes[0] === 0 && bytes[1] === TRACE_FIELD;
  if (!isWhole || bytes[SPAN_AT] !== SPAN_FIELD || bytes[FLAGS_AT] !== FLAGS_FIELD) return undefined;
  const [trace, span] = [bytes.toString("hex", 2, SPAN_AT), bytes.toString("hex", SPAN_AT + 1, FLAGS_AT)];
  return `00-${trace}-${span}-${bytes.toString("hex", FLAGS_AT + 1)}`;
}
