import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import type { SpanExporter } from "@opentelemetry/sdk-trace-base";
import type { OtlpDestination } from "./otlp-destination.ts";

/** OTLP over HTTP, in protobuf: https://opentelemetry.io/docs/specs/otlp/#otlphttp */
export function otlpHttpExporter({ url, headers, timeoutMs }: OtlpDestination): SpanExporter {
  const options = { url, headers: Object.fromEntries(headers) };
  return new OTLPTraceExporter(timeoutMs === undefined ? options : { ...options, timeoutMillis: timeoutMs });
}
