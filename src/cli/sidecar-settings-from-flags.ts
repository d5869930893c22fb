import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";
import { resolve } from "node:path";
import { DEFAULT_NAMESPACE, parseAppId, parseNamespace } from "../core/app-id.ts";
import { messageOf } from "../core/errors.ts";
import type { Configuration } from "../resources/configuration.ts";
import type { ApiLoggingSpec } from "../resources/logging-spec.ts";
import type { MetricsSettings, SidecarSettings } from "../runtime/sidecar-settings.ts";
import { APP_PROTOCOLS, type AppProtocol, isGrpcApp } from "../transport/app/app-protocol.ts";
import { appHealthFrom } from "./app-health-from-flags.ts";
import { CliError } from "./cli-error.ts";
import type { FlagValues } from "./flag-values.ts";
import type { CommandName, FlagName } from "./flags.ts";
import { tracingFrom } from "./tracing-from-env.ts";

export interface SettingsSource {
  readonly command: CommandName;
  readonly flags: FlagValues;
  /** The environment of the app, where it has one of its own. */
  readonly env: NodeJS.ProcessEnv;
  readonly configuration: Configuration;
  /** The app's command line, for people to read. */
  readonly appCommand: string;
}

const DAPRD_HTTP_PORT = 3500;
const DAPRD_GRPC_PORT = 50_001;
const DAPRD_METRICS_PORT = 9090;
// Most apps listen within this time; more, and a caller's own patience ends first.
const APP_START_PATIENCE_MS = 10_000;
const DEFAULT_GRACE_SECONDS = 5;
const LOOPBACK = "127.0.0.1";

/** Flags, environment and Configuration, merged into what one Sidecar is told. @throws {CliError} */
export function settingsFrom(source: SettingsSource): Omit<SidecarSettings, "resources" | "resourceWatch"> {
  const { flags, env, configuration, appCommand } = source;
  const forRun = source.command === "run";
  const graceSeconds = flags.count("dapr-graceful-shutdown-seconds") ?? DEFAULT_GRACE_SECONDS;
  return {
    app: identityFrom(flags, env),
    appPort: flags.port("app-port"),
    appChannelAddress: unbracketed(flags.text("app-channel-address") ?? LOOPBACK),
    appProtocol: appProtocol(flags),
    appTrust: configuration.appTls,
    appStartPatienceMs: forRun ? APP_START_PATIENCE_MS : 0,
    appMaxConcurrency: flags.count("app-max-concurrency") ?? -1,
    appMaxQueue: flags.positive("app-max-queue"),
    // prepareApp says so where there is no app to ask.
    appHealth: flags.port("app-port") === undefined ? undefined : appHealthFrom(flags),
    httpPort: flags.port("dapr-http-port") ?? (forRun ? 0 : DAPRD_HTTP_PORT),
    grpcPort: flags.port("dapr-grpc-port") ?? (forRun ? 0 : DAPRD_GRPC_PORT),
    internalPort: flags.port("dapr-internal-grpc-port") ?? 0,
    listenAddresses: listenAddresses(flags, forRun),
    socketFolder: socketFolderFrom(flags),
    publicPort: flags.port("dapr-public-port"),
    publicListenAddress: publicListenAddress(flags, forRun),
    metrics: metricsFrom(flags, configuration, forRun),
    apiLogging: apiLoggingFrom(flags, configuration),
    allowedOrigins: parts(flags.text("allowed-origins") ?? ""),
    internalListenAddress: unbracketed(
      flags.text("dapr-internal-grpc-listen-address") ?? (forRun ? LOOPBACK : everywhere()),
    ),
    apiHttp2: !isTruthy(env["DAPR_HTTP_DISABLE_H2C"]),
    maxBodyBytes: sizeOf(flags, "max-body-size", "dapr-http-max-request-size", 2 ** 20),
    readBufferBytes: readBufferBytes(flags),
    gracefulShutdownMs: (graceSeconds < 0 ? DEFAULT_GRACE_SECONDS : graceSeconds) * 1000,
    apiTokens: [env["DAPR_API_TOKEN"], env["DAPR_API_TOKEN_PREVIOUS"]],
    appToken: env["APP_API_TOKEN"] === "" ? undefined : env["APP_API_TOKEN"],
    preservePath: configuration.preservePath,
    safeRetries: configuration.safeRetries,
    pipelines: configuration.pipelines,
    grpcErrorStatus: configuration.grpcErrorStatus,
    accessControl: configuration.accessControl,
    nameResolution: configuration.nameResolution,
    tracing: tracingFrom(configuration.tracing, env),
    traceServiceName: env["OTEL_SERVICE_NAME"] === "" ? undefined : env["OTEL_SERVICE_NAME"],
    defaultPubSub: !flags.switch("no-default-pubsub"),
    hostAddress: env["DAPR_HOST_IP"] ?? ownAddress(),
    command: appCommand,
  };
}

function identityFrom(flags: FlagValues, env: NodeJS.ProcessEnv): SidecarSettings["app"] {
  const id = flags.text("app-id");
  if (id === undefined) throw new CliError("--app-id is missing: say by which id other apps call this one");
  try {
    const namespace = env["NAMESPACE"];
    return {
      id: parseAppId(id),
      namespace: namespace === undefined || namespace === "" ? DEFAULT_NAMESPACE : parseNamespace(namespace),
    };
  } catch (cause) {
    throw new CliError(messageOf(cause), 1, { cause });
  }
}

/** daprd does not mind the case, nor an empty one. `--app-ssl` is the older way to ask for TLS. @throws {CliError} */
function appProtocol(flags: FlagValues): AppProtocol {
  const text = flags.text("app-protocol") ?? "";
  const choice = APP_PROTOCOLS.join(", ");
  const named = text === "" ? "http" : text.toLowerCase();
  const known = APP_PROTOCOLS.find((protocol) => protocol === named);
  if (known === undefined) throw new CliError(`--app-protocol is "${text}"; give one of ${choice}`);
  if (!flags.switch("app-ssl")) return known;
  if (known === "h2c")
    throw new CliError("--app-ssl asks for TLS and --app-protocol h2c for none; leave one of them out");
  return isGrpcApp(known) ? "grpcs" : "https";
}

function listenAddresses(flags: FlagValues, forRun: boolean): readonly string[] {
  const text = flags.text("dapr-listen-addresses") ?? (forRun ? LOOPBACK : everywhere());
  // A port is bound once on each address; an address that is named twice is still one.
  const named = new Set(parts(text).map(unbracketed));
  if (named.size === 0) throw new CliError("--dapr-listen-addresses names no address");
  return [...named];
}

function publicListenAddress(flags: FlagValues, forRun: boolean): string {
  const address = flags.text("dapr-public-listen-address") ?? "";
  if (address !== "") return unbracketed(address);
  return forRun ? LOOPBACK : everywhere();
}

function metricsFrom(flags: FlagValues, { metrics }: Configuration, forRun: boolean): MetricsSettings | undefined {
  if (!flags.switch("enable-metrics") || !metrics.enabled) return undefined;
  return {
    port: flags.port("metrics-port") ?? (forRun ? 0 : DAPRD_METRICS_PORT),
    listenAddress: unbracketed(flags.text("metrics-listen-address") ?? (forRun ? LOOPBACK : "0.0.0.0")),
    spec: metrics,
  };
}

/** The flag, where it is given, whatever the Configuration says; as daprd has it. */
function apiLoggingFrom(flags: FlagValues, { apiLogging }: Configuration): ApiLoggingSpec | undefined {
  const isAsked = flags.switch("enable-api-logging", apiLogging.enabled);
  return isAsked ? { ...apiLogging, enabled: true } : undefined;
}

/** Of a list with commas; blanks are passed over. */
function parts(text: string): string[] {
  const all = text.split(",").map((part) => part.trim());
  return all.filter((part) => part !== "");
}

/** Where the sockets of the sidecar's APIs are to be; undefined for ports. */
export function socketFolderFrom(flags: FlagValues): string | undefined {
  const folder = flags.text("unix-domain-socket") ?? "";
  return folder === "" ? undefined : resolve(folder);
}

/** As daprd reads a switch in the environment. */
function isTruthy(text = ""): boolean {
  return /^\s*(?:y|yes|true|t|on|1)\s*$/i.test(text);
}

/** An IPv6 address as sockets want it; people write it as URLs do. */
function unbracketed(address: string): string {
  return address.replace(/^\[(.*)\]$/, "$1");
}

// Node refuses to parse with less than a request line needs, and counts in 32 bits.
const MIN_READ_BUFFER = 1024;
const MAX_READ_BUFFER = 2 ** 30;

function readBufferBytes(flags: FlagValues): number {
  const bytes = sizeOf(flags, "read-buffer-size", "dapr-http-read-buffer-size", 2 ** 10);
  return Math.min(Math.max(bytes, MIN_READ_BUFFER), MAX_READ_BUFFER);
}

/** Bytes, as `name` says; where only its older form was given, as that does, which counts in `olderUnit` bytes. */
function sizeOf(flags: FlagValues, name: FlagName, older: FlagName, olderUnit: number): number {
  const units = flags.has(name) ? 0 : (flags.count(older) ?? 0);
  return units > 0 ? units * olderUnit : flags.size(name);
}

/** Every address of this host: both families through one socket, where it has IPv6 at all. */
function everywhere(): string {
  return ownAddresses().some(({ family }) => family === "IPv6") ? "::" : "0.0.0.0";
}

/** The first address of this host that others could reach it by. */
function ownAddress(): string {
  return ownAddresses().find(({ internal, family }) => !internal && family === "IPv4")?.address ?? LOOPBACK;
}

function ownAddresses(): NetworkInterfaceInfo[] {
  return Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
}
