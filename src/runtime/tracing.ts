import { standardSecretStores } from "../components/standard.ts";
import { SetupError } from "../core/errors.ts";
import type { ClosableTracer } from "../observability/tracing/otel-tracer.ts";
import type { OtlpDestination } from "../observability/tracing/otlp-destination.ts";
import type { AppResources } from "../resources/app-resources.ts";
import type { OtelSpec } from "../resources/otlp-settings.ts";
import type { SecretStoreSurroundings } from "./resources/secret-stores.ts";
import type { SidecarSettings } from "./sidecar-settings.ts";

// As daprd's (pkg/diagnostics/utils), one in ten thousand.
const DEFAULT_SAMPLING_RATE = 1e-4;

/**
 * The tracer of one Sidecar. Undefined where there is nowhere to send spans to, or none are wanted: then nothing of it is
 * loaded, and trace contexts pass through.
 *
 * @throws {SetupError} where a header of the collector's comes from somewhere that does not have it.
 */
export async function tracerFor(
  { app, tracing, traceServiceName, resources }: SidecarSettings,
  surroundings: SecretStoreSurroundings,
): Promise<ClosableTracer | undefined> {
  if (tracing === undefined) return undefined;
  const { samplingRate = DEFAULT_SAMPLING_RATE, stdout, zipkinUrl, otel } = tracing;
  const goesSomewhere = stdout || zipkinUrl !== undefined || otel !== undefined;
  if (!goesSomewhere || samplingRate === 0) return undefined;
  const otlp = otel === undefined ? undefined : await destinationFrom(otel, resources, surroundings);
  const { openTracer } = await import("../observability/tracing/open-tracer.ts");
  const serviceName = traceServiceName ?? app.id;
  return openTracer({ serviceName, samplingRate, stdout, zipkinUrl, otlp }, surroundings.log);
}

async function destinationFrom(
  { protocol, url, headers, timeoutMs }: OtelSpec,
  { secretStores }: AppResources,
  surroundings: SecretStoreSurroundings,
): Promise<OtlpDestination> {
  const { SecretStores } = await import("./resources/secret-stores.ts");
  const stores = new SecretStores(standardSecretStores, surroundings);
  const user = { description: "spec.tracing.otel of the Configuration", secretStore: undefined };
  try {
    if (headers.some(({ source }) => source.kind === "secret")) await stores.start(secretStores);
    const found: [name: string, value: string][] = [];
    for (const { name, source } of headers) {
      const value = await stores.values.valueOf(source, `header ${name}`, user);
      if (!HEADER_VALUE.test(value)) {
        throw new SetupError(`${user.description}: header ${name}: its value has characters that no header can have`);
      }
      found.push([name, value]);
    }
    return { protocol, url, headers: found, timeoutMs };
  } finally {
    await stores.close();
  }
}

// RFC 9110 5.5, in ASCII, which is all that gRPC's metadata can have.
const HEADER_VALUE = /^[\t\x20-\x7e]*$/;
