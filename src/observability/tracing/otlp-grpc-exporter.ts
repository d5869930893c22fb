import { Metadata } from "@grpc/grpc-js";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import type { SpanExporter } from "@opentelemetry/sdk-trace-base";
import type { OtlpDestination } from "./otlp-destination.ts";

/** OTLP over gRPC: https://opentelemetry.io/docs/specs/otlp/#otlpgrpc */
export function otlpGrpcExporter({ url, headers, timeoutMs }: OtlpDestination): SpanExporter {
  const metadata = new Metadata();
  for (const [name, value] of headers) metadata.set(name, value);
  const options = { url, metadata };
  return new OTLPTraceExporter(timeoutMs === undefined ? options : { ...options, timeoutMillis: timeoutMs });
}
