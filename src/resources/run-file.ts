import { existsSync, statSync } from "node:fs";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import * as z from "zod";
import { checkDocument, ResourceError, readYamlFile } from "./yaml-file.ts";

/** Dapr's multi-app run file (`dapr run -f`): its keys, where they point, and what `common` hands down. */

export interface RunFileApp {
  readonly appId: string;
  readonly appDirPath: string;
  /** Empty where the app is started by somebody else. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** The keys that are flags of `run` under another name, as their values would be typed. */
  readonly flags: Readonly<Record<string, readonly string[]>>;
  /** Keys that mean something to Dapr's CLI and nothing here. */
  readonly withoutEffect: readonly string[];
}

const port = z.int().min(-1).max(65_535).optional();
const text = z.string().optional();
const texts = z.array(z.string()).optional();
const flag = z.boolean().optional();
const count = z.int().optional();
const size = z.union([z.string(), z.int()]).optional();
const env = z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])).optional();
const logDestination = z.enum(["console", "file", "fileAndConsole"]).optional();

// Dapr CLI, pkg/standalone/run.go: SharedRunConfig and RunConfig.
const shared = {
  configFilePath: text,
  appProtocol: text,
  apiListenAddresses: text,
  enableProfiling: flag,
  logLevel: text,
  appMaxConcurrency: count,
  // Not one of Dapr's (docs/extensions.md).
  appMaxQueue: count,
  placementHostAddress: text,
  schedulerHostAddress: text,
  resourcesPath: text,
  resourcesPaths: texts,
  appSSL: flag,
  maxBodySize: size,
  readBufferSize: size,
  daprMaxBodySize: size,
  daprReadBufferSize: size,
  daprHTTPMaxRequestSize: size,
  daprHTTPReadBufferSize: size,
  enableAppHealthCheck: flag,
  appHealthCheckPath: text,
  appHealthProbeInterval: count,
  appHealthProbeTimeout: count,
  appHealthThreshold: count,
  enableApiLogging: flag,
  runtimePath: text,
  env,
  daprdLogDestination: logDestination,
  appLogDestination: logDestination,
};

const appSchema = z.strictObject({
  ...shared,
  appID: text,
  appDirPath: z.string(),
  appChannelAddress: text,
  appPort: port,
  daprHTTPPort: port,
  daprGRPCPort: port,
  daprInternalGRPCPort: port,
  profilePort: port,
  metricsPort: port,
  unixDomainSocket: text,
  command: texts,
  containerImage: text,
  containerImagePullPolicy: text,
  createService: flag,
});

const schema = z.strictObject({
  version: z.literal(1, { error: "only version 1 is known" }),
  name: text,
  common: z.strictObject(shared).optional(),
  apps: z.array(appSchema).min(1, { error: "names no app" }),
});

type App = z.output<typeof appSchema>;

/** Which flag of `run` a key sets. */
const FLAG_OF_KEY = {
  appProtocol: "app-protocol",
  apiListenAddresses: "dapr-listen-addresses",
  enableProfiling: "enable-profiling",
  logLevel: "log-level",
  appMaxConcurrency: "app-max-concurrency",
  appMaxQueue: "app-max-queue",
  placementHostAddress: "placement-host-address",
  schedulerHostAddress: "scheduler-host-address",
  appSSL: "app-ssl",
  // Of two names for one flag, the one that stands later here wins.
  daprMaxBodySize: "max-body-size",
  daprReadBufferSize: "read-buffer-size",
  maxBodySize: "max-body-size",
  readBufferSize: "read-buffer-size",
  daprHTTPMaxRequestSize: "dapr-http-max-request-size",
  daprHTTPReadBufferSize: "dapr-http-read-buffer-size",
  enableAppHealthCheck: "enable-app-health-check",
  appHealthCheckPath: "app-health-check-path",
  appHealthProbeInterval: "app-health-probe-interval",
  appHealthProbeTimeout: "app-health-probe-timeout",
  appHealthThreshold: "app-health-threshold",
  enableApiLogging: "enable-api-logging",
  appChannelAddress: "app-channel-address",
  appPort: "app-port",
  daprHTTPPort: "dapr-http-port",
  daprGRPCPort: "dapr-grpc-port",
  daprInternalGRPCPort: "dapr-internal-grpc-port",
  profilePort: "profile-port",
  metricsPort: "metrics-port",
  unixDomainSocket: "unix-domain-socket",
} as const satisfies Partial<Record<keyof App, string>>;

const WITHOUT_EFFECT = [
  "runtimePath",
  "containerImage",
  "containerImagePullPolicy",
  "createService",
  // Everything goes to the terminal; files are to follow.
  "daprdLogDestination",
  "appLogDestination",
] as const satisfies readonly (keyof App)[];

// What Dapr's CLI looks for in a directory (cmd/run.go).
const NAME_IN_DIRECTORY = "dapr.yaml";

/**
 * The apps of the run file at `path`, or in the directory there.
 *
 * @throws {ResourceError} naming file, line and field, or the two apps that share an id or a port.
 */
export function readRunFile(path: string): RunFileApp[] {
  const isDirectory = existsSync(path) && statSync(path).isDirectory();
  const file = isDirectory ? join(path, NAME_IN_DIRECTORY) : path;
  const [document, second] = readYamlFile(file);
  if (document === undefined) throw new ResourceError(`${file}: the file is empty`);
  if (second !== undefined) throw new ResourceError(`${file}: a run file is one YAML document, this has several`);
  const { common = {}, apps } = checkDocument(document, schema);
  const folder = dirname(resolve(file));
  const read = apps.map((app) => toRunFileApp(common, app, folder));
  const twice = read.find((app, index) => read.findIndex((other) => other.appId === app.appId) !== index);
  if (twice !== undefined)
    throw new ResourceError(`${file}: two apps have the id "${twice.appId}"; give each its own appID`);
  refuseSharedPorts(file, read);
  return read;
}

const SIDECAR_PORTS = {
  "dapr-http-port": "daprHTTPPort",
  "dapr-grpc-port": "daprGRPCPort",
  "dapr-internal-grpc-port": "daprInternalGRPCPort",
};
const LOOPBACK = "127.0.0.1";

/** An app that listens where another one does, or another one's sidecar, would get the calls of both, or not start. */
function refuseSharedPorts(file: string, apps: readonly RunFileApp[]): void {
  const owners = new Map<string, string>();
  for (const app of apps) {
    for (const [flag, key] of Object.entries(SIDECAR_PORTS)) {
      const port = portOf(app, flag);
      if (port !== undefined) owners.set(`${LOOPBACK}:${port}`, `${key} of "${app.appId}"`);
    }
  }
  for (const app of apps) {
    const port = portOf(app, "app-port");
    if (port === undefined) continue;
    const place = `${app.flags["app-channel-address"]?.[0] ?? LOOPBACK}:${port}`;
    const own = `appPort of "${app.appId}"`;
    const owner = owners.get(place);
    if (owner !== undefined)
      throw new ResourceError(`${file}: ${owner} and ${own} are both ${port}; give each its own`);
    owners.set(place, own);
  }
}

/** In Dapr, 0 and -1 say that there is none. */
function portOf(app: RunFileApp, flag: string): number | undefined {
  const port = Number(app.flags[flag]?.[0] ?? 0);
  return port > 0 ? port : undefined;
}

function toRunFileApp(common: Partial<App>, app: App, folder: string): RunFileApp {
  const merged: App = { ...common, ...app };
  const appDirPath = resolve(folder, app.appDirPath);
  const flags = {
    ...flagsIn(common),
    ...flagsIn(app),
    config: configPath(common, app, folder, appDirPath),
    "resources-path": resourcePaths(common, app, folder, appDirPath),
    ...socketFolder(app, appDirPath),
  };
  const variables = Object.entries({ ...common.env, ...app.env });
  return {
    appId: app.appID ?? basename(appDirPath),
    appDirPath,
    command: app.command ?? [],
    env: Object.fromEntries(variables.map(([name, value]) => [name, String(value ?? "")])),
    flags,
    withoutEffect: WITHOUT_EFFECT.filter((key) => merged[key] !== undefined),
  };
}

function flagsIn(keys: Partial<App>): Record<string, string[]> {
  const flags: Record<string, string[]> = {};
  for (const [key, name] of Object.entries(FLAG_OF_KEY)) {
    const value = keys[key as keyof typeof FLAG_OF_KEY];
    if (value !== undefined) flags[name] = [String(value)];
  }
  return flags;
}

function socketFolder({ unixDomainSocket = "" }: App, appDirPath: string): Record<string, string[]> {
  return unixDomainSocket === "" ? {} : { "unix-domain-socket": [pathOf(unixDomainSocket, appDirPath)] };
}

/**
 * The app's own, else what stands in `.dapr/` of its directory, else what all have in common. A path of the app counts
 * from its directory, one in `common` from the run file (Dapr CLI, pkg/runfileconfig).
 */
function resourcePaths(common: Partial<App>, app: App, folder: string, appDirPath: string): string[] {
  const ownFolder = join(appDirPath, ".dapr", "resources");
  const own = pathsIn(app, appDirPath);
  if (own.length > 0) return own;
  return existsSync(ownFolder) ? [ownFolder] : pathsIn(common, folder);
}

function configPath(common: Partial<App>, app: App, folder: string, appDirPath: string): string[] {
  const ownFile = join(appDirPath, ".dapr", "config.yaml");
  if (app.configFilePath !== undefined) return [pathOf(app.configFilePath, appDirPath)];
  if (existsSync(ownFile)) return [ownFile];
  return common.configFilePath === undefined ? [] : [pathOf(common.configFilePath, folder)];
}

function pathsIn({ resourcesPath, resourcesPaths = [] }: Partial<App>, base: string): string[] {
  const paths = resourcesPath === undefined ? resourcesPaths : [...resourcesPaths, resourcesPath];
  return paths.map((path) => pathOf(path, base));
}

function pathOf(path: string, base: string): string {
  return isAbsolute(path) ? path : resolve(base, path);
}
