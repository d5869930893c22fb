import { existsSync } from "node:fs";
import { join } from "node:path";
import type { RunFileApp } from "../../resources/run-file.ts";
import { openHome } from "../../runtime/home.ts";
import type { HostedCommand } from "../../runtime/hosted-app.ts";
import { CliError } from "../cli-error.ts";
import { FlagValues, type TypedFlags } from "../flag-values.ts";
import { FLAGS } from "../flags.ts";
import { JsonDisplay } from "../json-display.ts";
import { jsonRecords, tellingMistakesAsAsked } from "../json-records.ts";
import { type CommandContext, logLevelOf, type PreparedApp, prepareApp, withoutEffect } from "../prepare-app.ts";
import { runApps } from "../run-apps.ts";
import { TerminalDisplay } from "../run-display.ts";

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
    return start(flags, [await prepareOne(named, argv, context.env)], context);
  }
  refuseAppFlags(typed, argv);
  // What reads YAML is loaded by those who have some.
  const { readRunFile } = await import("../../resources/run-file.ts");
  const apps = chosenApps(readRunFile(file), flags.text("only-app"), file);
  if (flags.switch("isolated") && apps.length > 1) {
    const { runIsolated } = await import("./run-isolated.ts");
    return runIsolated(typed, file, apps, context);
  }
  const prepared: PreparedApp[] = [];
  for (const app of apps) prepared.push(await prepareFromFile(app, typed, context.env));
  return start(flags, prepared, context);
}

function start(flags: FlagValues, prepared: readonly PreparedApp[], context: CommandContext): Promise<number> {
  const { env, out, err } = context;
  const specs = prepared.map(({ spec }) => spec);
  const ids = specs.map((spec) => spec.settings.app.id);
  const logAsJson = flags.switch("log-as-json");
  const options = {
    specs,
    env,
    logLevel: logLevelOf(flags),
    appLogLevels: new Map(prepared.map(({ spec, logLevel }) => [spec.settings.app.id, logLevel])),
    logAsJson,
    story: flags.switch("story", true),
    once: flags.switch("once"),
    warnings: prepared.flatMap(({ warnings }) => warnings),
  };
  const display = logAsJson ? new JsonDisplay(out, err) : new TerminalDisplay(out, err, ids);
  return runApps(options, display, out, err);
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

async function prepareFromFile(
  app: RunFileApp,
  onCommandLine: TypedFlags,
  inherited: NodeJS.ProcessEnv,
): Promise<PreparedApp> {
  const env = { ...inherited, ...app.env };
  const logLevel = onCommandLine["log-level"];
  const typed = { ...app.flags, ...(logLevel === undefined ? {} : { "log-level": logLevel }), "app-id": [app.appId] };
  const command = commandOf(app.command, { cwd: app.appDirPath, env, stdin: "ignore" });
  const prepared = await prepareApp({ name: "run", typed, env, command, fallback: inHome(inherited) });
  const unused = app.withoutEffect.map((key) => withoutEffect(`${key} of ${app.appId} in the run file`));
  return { ...prepared, warnings: [...prepared.warnings, ...unused] };
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

function chosenApps(apps: RunFileApp[], only: string | undefined, file: string): RunFileApp[] {
  if (only === undefined) return apps;
  const chosen = apps.filter((app) => app.appId === only);
  if (chosen.length > 0) return chosen;
  throw new CliError(`${file} has no app "${only}"; it has ${apps.map((app) => app.appId).join(", ")}`);
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
