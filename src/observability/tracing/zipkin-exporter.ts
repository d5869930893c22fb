import { ZipkinExporter } from "@opentelemetry/exporter-zipkin";
import type { SpanExporter } from "@opentelemetry/sdk-trace-base";

/** Zipkin's JSON, version 2: https://zipkin.io/zipkin-api/ */
export function zipkinExporter(url: string): SpanExporter {
  return new ZipkinExporter({ url });
}
