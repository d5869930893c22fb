import type { AppIdentity } from "../core/app-id.ts";
import { LOG_LEVELS, type LogLevel } from "../observability/log.ts";
import type { Configuration } from "../resources/configuration.ts";
import { DEFAULT_CONFIGURATION } from "../resources/default-configuration.ts";
import { NO_RESOURCES } from "../resources/no-resources.ts";
import type { HostedAppSpec, HostedCommand } from "../runtime/hosted-app.ts";
import type { SidecarSettings } from "../runtime/sidecar-settings.ts";
import { CliError } from "./cli-error.ts";
import { FlagValues, judgeFlags, type TypedFlags } from "./flag-values.ts";
import type { CommandName } from "./flags.ts";
import { settingsFrom } from "./sidecar-settings-from-flags.ts";
import type { Terminal } from "./terminal.ts";

/** What every command is given. */
export interface CommandContext {
  readonly env: NodeJS.ProcessEnv;
  readonly out: Terminal;
  readonly err: Terminal;
  /** The file that Node runs: what starts another Outrigger. */
  readonly main: string;
}

/** An app ready to be run, and what is to be said about how it was asked for. */
export interface PreparedApp {
  readonly spec: HostedAppSpec;
  readonly logLevel: LogLevel;
  readonly warnings: readonly string[];
}

export interface AppRequest {
  readonly name: CommandName;
  readonly typed: TypedFlags;
  readonly env: NodeJS.ProcessEnv;
  /** Undefined where somebody else starts the app. */
  readonly command: HostedCommand | undefined;
  /** Used where no flag names any. */
  readonly fallback: { readonly configs: readonly string[]; readonly resourcePaths: readonly string[] };
}

/** Flags, resources and environment of one app, checked. @throws {SetupError} */
export async function prepareApp({ name, typed, env, command, fallback }: AppRequest): Promise<PreparedApp> {
  const flags = new FlagValues(typed);
  const warnings = judgeFlags(typed);
  const configuration = await configurationFrom(orElse(flags.list("config"), fallback.configs));
  const folders = [...flags.list("resources-path"), ...flags.list("components-path")];
  const appCommand = (command?.argv ?? []).join(" ");
  const flagged = settingsFrom({ command: name, flags, env, configuration, appCommand });
  const { warnings: aboutResources, ...read } = await resourcesIn(
    orElse(folders, fallback.resourcePaths),
    flagged.app,
    configuration,
  );
  const settings = { ...flagged, ...read };
  return {
    spec: { settings, command },
    logLevel: logLevelOf(flags),
    warnings: [
      ...warnings,
      ...withoutApp(flags),
      ...configuration.withoutEffect.map(withoutEffect),
      ...(speaksHttpAlone(settings) ? configuration.forGrpcAlone.map(withoutEffectOverHttp) : []),
      ...aboutResources,
    ],
  };
}

// Only those who have YAML to read load what reads it: yaml and zod are most of the program's code.

async function configurationFrom(files: readonly string[]): Promise<Configuration> {
  if (files.length === 0) return DEFAULT_CONFIGURATION;
  const { readConfigurations } = await import("../resources/configuration.ts");
  return readConfigurations(files);
}

async function resourcesIn(
  folders: readonly string[],
  app: AppIdentity,
  { hotReload }: Configuration,
): Promise<Pick<SidecarSettings, "resources" | "resourceWatch"> & { readonly warnings: readonly string[] }> {
  if (folders.length === 0) return { resources: NO_RESOURCES, resourceWatch: undefined, warnings: [] };
  const { readAppResources } = await import("../resources/app-resources.ts");
  const { fingerprintOf } = await import("../resources/folder-fingerprint.ts");
  // Before they are read: what changes meanwhile is read again.
  const fingerprint = hotReload ? await fingerprintOf(folders) : "";
  const { warnings, ...resources } = readAppResources(folders, app);
  return { resources, resourceWatch: hotReload ? { folders, fingerprint, warnings } : undefined, warnings };
}

/** @throws {CliError} where `--log-level` is not one. */
export function logLevelOf(flags: FlagValues): LogLevel {
  const asked = flags.text("log-level")?.toLowerCase() ?? "info";
  const level = LOG_LEVELS.find((known) => known === asked || (asked === "warning" && known === "warn"));
  if (level === undefined) throw new CliError(`--log-level is "${asked}"; give one of ${LOG_LEVELS.join(", ")}`);
  return level;
}

/** Flags about an app that there is no port of. */
function withoutApp(flags: FlagValues): string[] {
  if (flags.port("app-port") !== undefined) return [];
  const asked = (["enable-app-health-check", "app-max-concurrency"] as const).filter((name) => flags.has(name));
  return asked.map((name) => `--${name} has no effect without --app-port`);
}

function withoutEffect(name: string): string {
  return `${name} has no effect in this version of Outrigger`;
}

/** An app behind h2c may be called over gRPC, too. */
function speaksHttpAlone({ appProtocol }: SidecarSettings): boolean {
  return appProtocol === "http" || appProtocol === "https";
}

function withoutEffectOverHttp(name: string): string {
  return `${name} has no effect on an app that speaks HTTP; give it the verbs that it is for, or "*" for all`;
}

function orElse(named: readonly string[], fallback: readonly string[]): readonly string[] {
  return named.length > 0 ? named : fallback;
}
