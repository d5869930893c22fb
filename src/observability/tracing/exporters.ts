import type { SpanExporter } from "@opentelemetry/sdk-trace-base";
import type { OtlpDestination } from "./otlp-destination.ts";

/** Each exporter is loaded by itself: that for gRPC comes with a gRPC client, and is ten times the size of the others. */

export async function otlpExporter(destination: OtlpDestination): Promise<SpanExporter> {
  if (destination.protocol === "http") {
    const { otlpHttpExporter } = await import("./otlp-http-exporter.ts");
    return otlpHttpExporter(destination);
  }
  const { otlpGrpcExporter } = await import("./otlp-grpc-exporter.ts");
  return otlpGrpcExporter(destination);
}

export async function zipkinExporterTo(url: string): Promise<SpanExporter> {
  const { zipkinExporter } = await import("./zipkin-exporter.ts");
  return zipkinExporter(url);
}
