import { messageOf } from "../core/errors.ts";
import {
  type OtelSpec,
  type OtlpProtocol,
  otlpHeadersIn,
  otlpUrl,
  type TracingSpec,
} from "../resources/otlp-settings.ts";
import { CliError } from "./cli-error.ts";

/**
 * Where spans go, the environment included: it holds where the Configuration names no collector (pkg/config,
 * `SetTracingSpecFromEnv`). What is only for traces goes before what is for all signals.
 *
 * @throws {CliError} naming the variable that is wrong.
 */
export function tracingFrom(configured: TracingSpec | undefined, env: NodeJS.ProcessEnv): TracingSpec | undefined {
  if (configured?.otel !== undefined) return configured;
  const otel = otelFrom(env);
  if (otel === undefined) return configured;
  return {
    // Whoever names a collector wants to see something in it.
    samplingRate: configured?.samplingRate ?? 1,
    stdout: configured?.stdout ?? false,
    zipkinUrl: configured?.zipkinUrl,
    otel,
  };
}

function otelFrom(env: NodeJS.ProcessEnv): OtelSpec | undefined {
  const [addressFrom, address] = either(env, "ENDPOINT");
  if (address === undefined || !wantsOtlp(env)) return undefined;
  const [, named = "grpc"] = either(env, "PROTOCOL");
  const protocol: OtlpProtocol = named.startsWith("http") ? "http" : "grpc";
  const [, insecure] = either(env, "INSECURE");
  const url = otlpUrl(address, insecure === undefined ? undefined : insecure !== "true", protocol);
  if (url === undefined) throw new CliError(`${addressFrom} is "${address}", which is no address; give host:port`);
  return { protocol, url, headers: headersFrom(env), timeoutMs: timeoutFrom(env) };
}

/** OpenTelemetry's list of exporters; daprd does not read it, and SDKs of the app's may be told `none` by it. */
function wantsOtlp(env: NodeJS.ProcessEnv): boolean {
  const asked = env["OTEL_TRACES_EXPORTER"] ?? "";
  return asked === "" || asked.split(",").some((name) => name.trim() === "otlp");
}

function headersFrom(env: NodeJS.ProcessEnv): OtelSpec["headers"] {
  const [variable, text = ""] = either(env, "HEADERS");
  try {
    return otlpHeadersIn(text);
  } catch (cause) {
    throw new CliError(`${variable}: ${messageOf(cause)}`, 1, { cause });
  }
}

function timeoutFrom(env: NodeJS.ProcessEnv): number | undefined {
  const [variable, text] = either(env, "TIMEOUT");
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text)) throw new CliError(`${variable} is "${text}"; give a number of milliseconds`);
  return text === "0" ? undefined : Number(text);
}

function either(
  env: NodeJS.ProcessEnv,
  name: "ENDPOINT" | "PROTOCOL" | "INSECURE" | "HEADERS" | "TIMEOUT",
): readonly [variable: string, value: string | undefined] {
  const ofTraces = `OTEL_EXPORTER_OTLP_TRACES_${name}`;
  const ofAll = `OTEL_EXPORTER_OTLP_${name}`;
  const traces = env[ofTraces] ?? "";
  if (traces !== "") return [ofTraces, traces];
  const all = env[ofAll] ?? "";
  return [ofAll, all === "" ? undefined : all];
}
