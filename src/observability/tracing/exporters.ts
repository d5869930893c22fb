import type { SpanExporter } from "@opentelemetry/sdk-trace-base";

/** A collector that speaks OTLP. */
export interface OtlpDestination {
  readonly protocol: "grpc" | "http";
  /** With the path, where the protocol has one. https is what makes it secure. */
  readonly url: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Undefined: OpenTelemetry's own, 10 s. */
  readonly timeoutMs: number | undefined;
}

/** OTLP, https://opentelemetry.io/docs/specs/otlp/. Each protocol is loaded by itself: gRPC's client is ten times the other. */
export async function otlpExporter(destination: OtlpDestination): Promise<SpanExporter> {
  const { protocol, url, headers, timeoutMs } = destination;
  const options = timeoutMs === undefined ? { url } : { url, timeoutMillis: timeoutMs };
  if (protocol === "http") {
    const { OTLPTraceExporter } = await import("@opentelemetry/exporter-trace-otlp-proto");
    return new OTLPTraceExporter({ ...options, headers: Object.fromEntries(headers) });
  }
  const { OTLPTraceExporter } = await import("@opentelemetry/exporter-trace-otlp-grpc");
  const { Metadata } = await import("@grpc/grpc-js");
  const metadata = new Metadata();
  for (const [name, value] of headers) metadata.set(name, value);
  return new OTLPTraceExporter({ ...options, metadata });
}

/** Zipkin's JSON, version 2. */
export async function zipkinExporter(url: string): Promise<SpanExporter> {
  const { ZipkinExporter } = await import("@opentelemetry/exporter-zipkin");
  return new ZipkinExporter({ url });
}
