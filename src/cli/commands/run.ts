import { existsSync } from "node:fs";
import { join } from "node:path";
import { messageOf, SetupError } from "../../core/errors.ts";
import type { RunFile, RunFileApp } from "../../resources/run-file.ts";
import { openHome } from "../../runtime/home.ts";
import type { HostedCommand } from "../../runtime/hosted-app.ts";
import { systemClock } from "../../runtime/system-clock.ts";
import { CliError } from "../cli-error.ts";
import { FlagValues, type TypedFlags } from "../flag-values.ts";
import { FLAGS } from "../flags.ts";
import { JsonDisplay } from "../json-display.ts";
import { jsonRecords, tellingMistakesAsAsked } from "../json-records.ts";
import type { LogFiles, LogPlan } from "../log-files.ts";
import { type CommandContext, logLevelOf, type PreparedApp, prepareApp } from "../prepare-app.ts";
import { type RunDisplay, runApps, type SidecarLogs } from "../run-apps.ts";
import { TerminalDisplay } from "../run-display.ts";
import { supervisorIn, withoutSupervisor } from "../supervisor.ts";

/** `outrigger run`: apps and their sidecars, started together. @returns the exit code. @throws {SetupError} */
export function run(typed: TypedFlags, argv: readonly string[], context: CommandContext): Promise<number> {
  return tellingMistakesAsAsked(typed, context.err, () => runAsAsked(typed, argv, context));
}

async function runAsAsked(typed: TypedFlags, argv: readonly string[], context: CommandContext): Promise<number> {
  const flags = new FlagValues(typed);
  const file = flags.text("run-file");
  if (file === undefined) {
    refuseRunFileFlags(typed);
    const named = flags.has("app-id") ? typed : { ...typed, "app-id": [await unusedAppId(flags, context)] };
    const prepared = await prepareOne(named, argv, context.env);
    const display = displayFor(flags, [prepared], context);
    return start(flags, { apps: [prepared], warnings: [], display }, context);
  }
  refuseAppFlags(typed, argv);
  // What reads YAML is loaded by those who have some.
  const { readRunFile } = await import("../../resources/run-file.ts");
  const runFile = chosenApps(readRunFile(file), flags.text("only-app"));
  if (flags.switch("isolated") && runFile.apps.length > 1) {
    const { runIsolated } = await import("./run-isolated.ts");
    return runIsolated(typed, runFile, context);
  }
  return startFile(typed, runFile, context);
}

interface Start {
  readonly apps: readonly PreparedApp[];
  /** Besides those about one app. */
  readonly warnings: readonly string[];
  readonly display: RunDisplay;
  readonly logs?: SidecarLogs;
}

function start(flags: FlagValues, { apps, warnings, display, logs }: Start, context: CommandContext): Promise<number> {
  const { env, out, err } = context;
  const options = {
    specs: apps.map(({ spec }) => spec),
    env,
    logLevel: logLevelOf(flags),
    appLogLevels: new Map(apps.map(({ spec, logLevel }) => [spec.settings.app.id, logLevel])),
    logAsJson: flags.switch("log-as-json"),
    story: flags.switch("story", true),
    once: flags.switch("once"),
    warnings: [...warnings, ...apps.flatMap((app) => app.warnings)],
    ...(logs === undefined ? {} : { logs }),
  };
  return runApps(options, display, out, err);
}

async function startFile(typed: TypedFlags, runFile: RunFile, context: CommandContext): Promise<number> {
  const flags = new FlagValues(typed);
  const supervisor = supervisorIn(context.env);
  const env = withoutSupervisor(context.env);
  const prepared: PreparedApp[] = [];
  for (const app of runFile.apps) prepared.push(await prepareFromFile(app, runFile, typed, env));
  const display = displayFor(flags, prepared, context);
  const logs = await logsFor(flags, runFile, display, context);
  const apps = prepared.map((app): PreparedApp => {
    const { settings, command } = app.spec;
    const logPaths = logs?.pathsOf(settings.app.id) ?? { appLog: undefined, sidecarLog: undefined };
    const origin = {
      cliPid: supervisor ?? process.pid,
      runFile: runFile.realPath,
      runName: runFile.name,
      ...logPaths,
    };
    return { ...app, spec: { settings: { ...settings, origin }, command } };
  });
  // The one that watches over several processes says what is common to them.
  const warnings = supervisor === undefined ? runFile.warnings : [];
  return start(
    flags,
    logs === undefined ? { apps, warnings, display } : { apps, warnings, display: logs, logs },
    context,
  );
}

function displayFor(flags: FlagValues, apps: readonly PreparedApp[], { out, err }: CommandContext): RunDisplay {
  if (flags.switch("log-as-json")) return new JsonDisplay(out, err);
  const ids = apps.map(({ spec }) => spec.settings.app.id);
  return new TerminalDisplay(out, err, ids);
}

/** Undefined where everything goes to the console. */
async function logsFor(
  flags: FlagValues,
  { apps }: RunFile,
  display: RunDisplay,
  { out, err }: CommandContext,
): Promise<LogFiles | undefined> {
  const plans = apps.map(({ appId, appDirPath, command, logs }): LogPlan => {
    // The lines of an app that somebody else starts are not here to be written.
    return { appId, appDirPath, app: command.length === 0 ? "console" : logs.app, sidecar: logs.sidecar };
  });
  if (plans.every(({ app, sidecar }) => app === "console" && sidecar === "console")) return undefined;
  const { LogFiles } = await import("../log-files.ts");
  const place = { display, out, err, logAsJson: flags.switch("log-as-json") };
  return LogFiles.create(plans, systemClock.now(), place);
}

/** Most name their app, and do without what is loaded for those who do not. */
async function unusedAppId(flags: FlagValues, context: CommandContext): Promise<string> {
  const [{ generateAppId }, { runningApps }] = await Promise.all([
    import("../generated-app-id.ts"),
    import("../running-apps.ts"),
  ]);
  const warn = (message: string): void => {
    jsonRecords(context.err).warn(message);
  };
  const running = await runningApps(context, flags.switch("log-as-json") ? warn : undefined);
  return generateAppId(new Set(running.map(({ instance }) => instance.app.id)));
}

function prepareOne(typed: TypedFlags, argv: readonly string[], env: NodeJS.ProcessEnv): Promise<PreparedApp> {
  const command = commandOf(argv, { cwd: process.cwd(), env, stdin: "inherit" });
  return prepareApp({ name: "run", typed, env, command, fallback: inHome(env) });
}

/** @throws {SetupError} naming the app and the file, besides what is wrong. */
async function prepareFromFile(
  app: RunFileApp,
  { label }: RunFile,
  onCommandLine: TypedFlags,
  inherited: NodeJS.ProcessEnv,
): Promise<PreparedApp> {
  // As the app's environment is its sidecar's: NAMESPACE, tokens, DAPR_HOST_IP. One process has several of each.
  const env = { ...inherited, ...app.env };
  const logLevel = onCommandLine["log-level"];
  const typed = { ...app.flags, ...(logLevel === undefined ? {} : { "log-level": logLevel }), "app-id": [app.appId] };
  const command = commandOf(app.command, { cwd: app.appDirPath, env, stdin: "ignore" });
  try {
    const prepared = await prepareApp({ name: "run", typed, env, command, fallback: inHome(inherited) });
    return { ...prepared, warnings: [...prepared.warnings, ...app.warnings] };
  } catch (cause) {
    if (!(cause instanceof SetupError)) throw cause;
    throw new SetupError(`${app.appId} in ${label}: ${messageOf(cause)}`, { cause });
  }
}

function commandOf(argv: readonly string[], place: Omit<HostedCommand, "argv">): HostedCommand | undefined {
  const [program, ...args] = argv;
  return program === undefined ? undefined : { argv: [program, ...args], ...place };
}

/** What stands in the home directory, for apps that name nothing (design.md). */
function inHome(env: NodeJS.ProcessEnv): { configs: readonly string[]; resourcePaths: readonly string[] } {
  const home = openHome(env);
  const [config, components] = [join(home, "config.yaml"), join(home, "components")];
  return { configs: existsSync(config) ? [config] : [], resourcePaths: existsSync(components) ? [components] : [] };
}

function chosenApps(runFile: RunFile, only: string | undefined): RunFile {
  if (only === undefined) return runFile;
  const apps = runFile.apps.filter((app) => app.appId === only);
  if (apps.length > 0) return { ...runFile, apps };
  const ids = runFile.apps.map((app) => app.appId).join(", ");
  throw new CliError(`${runFile.label} has no app "${only}"; it has ${ids}`);
}

// These are about a run file, or about the whole run; all other flags are about one app, and a run file speaks for each.
const ONLY_WITH_RUN_FILE = ["isolated", "only-app"];
const WITH_RUN_FILE = new Set([...ONLY_WITH_RUN_FILE, "run-file", "once", "story", "log-level", "log-as-json"]);

function refuseAppFlags(typed: TypedFlags, argv: readonly string[]): void {
  const flag = FLAGS.find(({ name }) => typed[name] !== undefined && !WITH_RUN_FILE.has(name));
  if (flag !== undefined) {
    throw new CliError(`--${flag.name} cannot be given with -f; set it for the app in the run file`);
  }
  if (argv.length > 0) throw new CliError(`with -f the commands stand in the run file; leave out "${argv.join(" ")}"`);
}

function refuseRunFileFlags(typed: TypedFlags): void {
  const name = ONLY_WITH_RUN_FILE.find((flag) => typed[flag] !== undefined);
  if (name !== undefined) throw new CliError(`--${name} is about the apps of a run file; name one with -f`);
}
