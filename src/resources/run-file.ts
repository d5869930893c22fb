import { existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import * as z from "zod";
import { checkDocument, parseYaml, ResourceError, readYamlFile, type YamlDocument } from "./yaml-file.ts";

/** Dapr's multi-app run file (`dapr run -f`): its keys, where they point, and what `common` hands down. */

export interface RunFile {
  /** As it was named, made absolute; undefined where it came through standard input. */
  readonly path: string | undefined;
  /** What tells it from others: {@link locateRunFile}. */
  readonly realPath: string | undefined;
  /** How texts call it. */
  readonly label: string;
  readonly name: string | undefined;
  readonly apps: readonly RunFileApp[];
  /** Keys of `common` that mean something to Dapr's CLI and nothing here, each with its reason. */
  readonly warnings: readonly string[];
}

/** Where lines go, in Dapr's words. */
export type LogDestination = "console" | "file" | "fileAndConsole";

export interface RunFileApp {
  readonly appId: string;
  readonly appDirPath: string;
  /** Empty where the app is started by somebody else. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** The keys that are flags of `run` under another name, as their values would be typed. */
  readonly flags: Readonly<Record<string, readonly string[]>>;
  /** `appLogDestination` and `daprdLogDestination`: where the app's lines go, and its sidecar's. */
  readonly logs: { readonly app: LogDestination; readonly sidecar: LogDestination };
  /** Keys of the app that mean something to Dapr's CLI and nothing here, each with its reason. */
  readonly warnings: readonly string[];
}

const port = z.int().min(-1).max(65_535).optional();
const text = z.string().optional();
// Go's decoder takes numbers and switches for the words they are written as.
const word = z.union([z.string(), z.number(), z.boolean()], { error: "a word is expected" }).transform(String);
const words = z.array(word, { error: 'expected a list of words, as ["python3", "app.py"]' }).optional();
// A list; Dapr's documentation also shows one text with commas.
const paths = z
  .union([z.array(z.string()), z.string().transform((listed) => listed.split(",").map((path) => path.trim()))], {
    error: "expected a list of paths",
  })
  .optional();
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
  resourcesPaths: paths,
  // Not one of Dapr's either.
  noDefaultPubsub: flag,
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
  command: words,
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
  noDefaultPubsub: "no-default-pubsub",
  appChannelAddress: "app-channel-address",
  appPort: "app-port",
  daprHTTPPort: "dapr-http-port",
  daprGRPCPort: "dapr-grpc-port",
  daprInternalGRPCPort: "dapr-internal-grpc-port",
  profilePort: "profile-port",
  metricsPort: "metrics-port",
  unixDomainSocket: "unix-domain-socket",
} as const satisfies Partial<Record<keyof App, string>>;

const NOT_IN_KUBERNETES = "apps run as processes of this machine, not in containers";

const WITHOUT_EFFECT = {
  runtimePath: "Outrigger is the sidecar itself, there is no daprd to look for",
  containerImage: NOT_IN_KUBERNETES,
  containerImagePullPolicy: NOT_IN_KUBERNETES,
  createService: NOT_IN_KUBERNETES,
  placementHostAddress: "there are no actors here",
  schedulerHostAddress: "there are no jobs here",
} as const satisfies Partial<Record<keyof App, string>>;

// What Dapr's CLI looks for in a directory (cmd/run.go).
const NAME_IN_DIRECTORY = "dapr.yaml";

const STANDARD_INPUT = "-";

/**
 * The file that `-f` means: the one at `path`, or the `dapr.yaml` in the directory there, as an absolute path without
 * symbolic links, so that it is the same however it is named. Undefined for `-`, which is standard input.
 */
export function locateRunFile(path: string): string | undefined {
  if (path === STANDARD_INPUT) return undefined;
  const file = resolve(fileAt(path));
  return existsSync(file) ? realpathSync(file) : file;
}

function fileAt(path: string): string {
  const isDirectory = existsSync(path) && statSync(path).isDirectory();
  return isDirectory ? join(path, NAME_IN_DIRECTORY) : path;
}

/**
 * The run file at `path`, in the directory there, or for `-` what standard input gives, whose paths count from the working
 * directory.
 *
 * @throws {ResourceError} naming file, line and field, or the two apps that share an id or a port.
 */
export function readRunFile(path: string): RunFile {
  const file = path === STANDARD_INPUT ? undefined : fileAt(path);
  const label = file ?? "standard input";
  const [document, second] = file === undefined ? readStandardInput(label) : readYamlFile(file);
  if (document === undefined) throw new ResourceError(`${label}: the file is empty`);
  if (second !== undefined) throw new ResourceError(`${label}: a run file is one YAML document, this has several`);
  const { name, common = {}, apps } = checkDocument(document, schema);
  // Of a symbolic link, the folder that it lies in.
  const folder = file === undefined ? process.cwd() : dirname(resolve(file));
  const read = apps.map((app) => toRunFileApp(common, app, folder));
  const twice = read.find((app, index) => read.findIndex((other) => other.appId === app.appId) !== index);
  if (twice !== undefined)
    throw new ResourceError(`${label}: two apps have the id "${twice.appId}"; give each its own appID`);
  refuseSharedPorts(label, read);
  return {
    path: file === undefined ? undefined : resolve(file),
    realPath: locateRunFile(path),
    label,
    name,
    apps: read,
    warnings: withoutEffect(common, "common"),
  };
}

function readStandardInput(label: string): YamlDocument[] {
  let text: string;
  try {
    text = readFileSync(0, "utf8");
  } catch (cause) {
    throw new ResourceError(`cannot read ${label}: ${(cause as Error).message}`, { cause });
  }
  return parseYaml(text, label);
}

function withoutEffect(keys: Partial<App>, owner: string): string[] {
  return Object.entries(WITHOUT_EFFECT)
    .filter(([key]) => asksForSomething(keys[key as keyof typeof WITHOUT_EFFECT]))
    .map(([key, reason]) => `${key} of ${owner} in the run file has no effect: ${reason}`);
}

function asksForSomething(value: string | boolean | undefined): boolean {
  return value !== undefined && value !== false;
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
      claim(LOOPBACK, portOf(app, flag), `${key} of "${app.appId}"`);
    }
  }
  for (const app of apps) {
    claim(app.flags["app-channel-address"]?.[0] ?? LOOPBACK, portOf(app, "app-port"), `appPort of "${app.appId}"`);
  }

  function claim(address: string, port: number | undefined, claimant: string): void {
    if (port === undefined) return;
    const place = `${address}:${port}`;
    const owner = owners.get(place);
    if (owner !== undefined)
      throw new ResourceError(`${file}: ${owner} and ${claimant} are both ${port}; give each its own`);
    owners.set(place, claimant);
  }
}

/** In Dapr, 0 and -1 say that there is none. */
function portOf(app: RunFileApp, flag: string): number | undefined {
  const port = Number(app.flags[flag]?.[0] ?? 0);
  return port > 0 ? port : undefined;
}

function toRunFileApp(common: Partial<App>, app: App, folder: string): RunFileApp {
  const appDirPath = pathOf(app.appDirPath, folder);
  const appId = app.appID ?? basename(appDirPath);
  const command = app.command ?? [];
  const flags = {
    ...flagsIn(common),
    ...flagsIn(app),
    config: configPath(common, app, folder, appDirPath),
    "resources-path": resourcePaths(common, app, folder, appDirPath),
    ...socketFolder(app, appDirPath),
  };
  const variables = Object.entries({ ...common.env, ...app.env });
  return {
    appId,
    appDirPath,
    command,
    env: Object.fromEntries(variables.map(([name, value]) => [name, String(value ?? "")])),
    flags,
    logs: {
      app: app.appLogDestination ?? common.appLogDestination ?? "console",
      sidecar: app.daprdLogDestination ?? common.daprdLogDestination ?? "console",
    },
    warnings: [...withoutEffect(app, appId), ...logOfNobody(app, appId)],
  };
}

/** Lines that are not Outrigger's to read. */
function logOfNobody({ appLogDestination, command = [] }: App, appId: string): string[] {
  if (appLogDestination === undefined || command.length > 0) return [];
  return [
    `appLogDestination of ${appId} in the run file has no effect: it has no command, so somebody else starts the app`,
  ];
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

/** Absolute; `~` is the home directory, as in Dapr's CLI. */
function pathOf(path: string, base: string): string {
  return resolve(base, path.replace(/^~(?=\/|$)/, homedir()));
}
