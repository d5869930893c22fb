import type { Logger } from "../../core/logger.ts";
import { otlpExporter, zipkinExporterTo } from "./exporters.ts";
import { type ClosableTracer, OtelTracer } from "./otel-tracer.ts";
import type { OtlpDestination } from "./otlp-destination.ts";
import { SpanLog } from "./span-log.ts";
import { SpanQueue } from "./span-queue.ts";
import type { SpanSink } from "./span-sink.ts";

/** What one Sidecar traces, and where it sends that. */
export interface TracerSettings {
  readonly serviceName: string;
  /** 0 to 1. */
  readonly samplingRate: number;
  readonly stdout: boolean;
  readonly zipkinUrl: string | undefined;
  readonly otlp: OtlpDestination | undefined;
}

// Short enough for people who wait for a trace to show up.
const DELAY_MS = 1000;

/** Does not connect yet: a collector that is not there is no reason not to start. */
export async function openTracer(settings: TracerSettings, log: Logger): Promise<ClosableTracer> {
  const { serviceName, samplingRate, stdout, zipkinUrl, otlp } = settings;
  const sinks: SpanSink[] = [];
  if (stdout) sinks.push(new SpanLog(log));
  if (zipkinUrl !== undefined) {
    const exporter = await zipkinExporterTo(zipkinUrl);
    sinks.push(
      new SpanQueue({ exporter, destination: `Zipkin at ${withoutSecrets(zipkinUrl)}`, log, delayMs: DELAY_MS }),
    );
  }
  if (otlp !== undefined) {
    const exporter = await otlpExporter(otlp);
    const destination = `the OTLP collector at ${otlp.url}`;
    sinks.push(new SpanQueue({ exporter, destination, log, delayMs: DELAY_MS }));
  }
  return new OtelTracer({ serviceName, samplingRate, sinks });
}

/** Services that take Zipkin's spans want a key, which stands in the URL. */
export function withoutSecrets(url: string): string {
  const { origin, pathname } = new URL(url);
  return origin + pathname;
}
