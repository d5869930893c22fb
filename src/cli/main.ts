#!/usr/bin/env node
import { fileURLToPath } from "node:url";
import { Command, CommanderError, Option } from "commander";
import { messageOf, SetupError } from "../core/errors.ts";
import { outriggerVersion } from "../runtime/version.ts";
import { CliError } from "./cli-error.ts";
import { addFlags, normaliseArguments, typedFlags } from "./command-line.ts";
import type { InvokeOptions } from "./commands/invoke.ts";
import type { ListOptions } from "./commands/list.ts";
import type { StopOptions } from "./commands/stop.ts";
import type { CommandContext } from "./prepare-app.ts";
import { addPubSubCommands } from "./pubsub-commands.ts";
import { stackInSources } from "./stack-in-sources.ts";
import { Terminal } from "./terminal.ts";

const context: CommandContext = {
  env: process.env,
  out: new Terminal(process.stdout, process.env),
  err: new Terminal(process.stderr, process.env),
  main: fileURLToPath(import.meta.url),
};

// A reader that leaves (`outrigger run … | head`) is no reason to fail.
process.stdout.on("error", () => undefined);
process.stderr.on("error", () => undefined);

// Node prints the stack of what nobody caught; it may as well say where that is.
process.on("uncaughtExceptionMonitor", (error) => {
  if (typeof error.stack === "string") error.stack = stackInSources(error.stack);
});

let exitCode = 0;

function program(): Command {
  const outrigger = new Command("outrigger")
    .description("A sidecar that finds the other app, checks the call, applies the rules and carries the bytes.")
    .version(outriggerVersion(), "-v, --version")
    .enablePositionalOptions()
    .showSuggestionAfterError();
  const runCommand = outrigger
    .command("run")
    .argument("[command...]", "what starts the app, after --")
    .description("Start an app with its sidecar, or all apps of a run file behind one process.")
    .passThroughOptions()
    .addHelpText("after", RUN_EXAMPLES);
  addFlags(runCommand, "run").action(async (argv: string[]) => {
    const { run } = await import("./commands/run.ts");
    exitCode = await run(typedFlags(runCommand, "run"), argv, context);
  });
  const sidecarCommand = outrigger
    .command("sidecar")
    .description("Serve one app that something else starts. Takes daprd's flags.")
    .addHelpText("after", SIDECAR_EXAMPLES);
  sidecarCommand.version(outriggerVersion(), "--version", "print the version and end");
  sidecarCommand.option("--build-info", "print the version and end").allowExcessArguments(false);
  addFlags(sidecarCommand, "sidecar").action(async (options: { buildInfo?: boolean }) => {
    if (options.buildInfo === true) {
      context.out.line(`outrigger ${outriggerVersion()}, Node ${process.versions.node}`);
      return;
    }
    const { sidecar } = await import("./commands/sidecar.ts");
    exitCode = await sidecar(typedFlags(sidecarCommand, "sidecar"), context);
  });
  outrigger
    .command("list")
    .description("Show the apps that run on this machine.")
    .addOption(new Option("-o, --output <format>", "how to print them").choices(["table", "json", "yaml"]))
    .option("--json", "as JSON, for scripts", false)
    .addHelpText("after", "\nExample:\n  $ outrigger list --json | jq -r '.[].appId'")
    .action(async (options: ListOptions) => {
      const { list } = await import("./commands/list.ts");
      exitCode = await list(options, context);
    });
  outrigger
    .command("stop")
    .argument("[app-id...]", "the apps to end, as id or id.namespace")
    .description("End apps and their sidecars, every instance of them.")
    .option("-a, --app-id <id>", "the same, as Dapr's CLI takes it; may be given several times", collect)
    .option("-f, --run-file <path>", "all apps of this run file, or of the dapr.yaml in this directory")
    .option("--json", "say what became of each as JSON, for scripts", false)
    .addHelpText("after", STOP_EXAMPLES)
    .action(async (appIds: string[], { appId = [], ...options }: StopOptions & { appId?: string[] }) => {
      const { stop } = await import("./commands/stop.ts");
      exitCode = await stop([...appIds, ...appId], options, context);
    });
  outrigger
    .command("invoke")
    .description("Call a method of a running app and print the answer.")
    .requiredOption("-a, --app-id <id>", "the app to call")
    .requiredOption("-m, --method <path>", "the method, with its query if it has one")
    .option("-v, --verb <verb>", "the HTTP verb", "POST")
    .option("-d, --data <json>", "the body")
    .option("-f, --data-file <file>", "a file with the body")
    .addHelpText("after", INVOKE_EXAMPLES)
    .action(async (options: InvokeOptions) => {
      const { invoke } = await import("./commands/invoke.ts");
      exitCode = await invoke(options, context);
    });
  addPubSubCommands(outrigger, context, (code) => {
    exitCode = code;
  });
  for (const command of allCommands(outrigger)) {
    command.exitOverride();
    // commander's suggestion comes on a line of its own; errors here are one line.
    command.configureOutput({
      outputError: (text, write) => {
        write(`${text.trim().replaceAll("\n", " ")}; see ${fullName(command)} --help\n`);
      },
    });
  }
  return outrigger;
}

function allCommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allCommands)];
}

function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;
}

const RUN_EXAMPLES = `
Examples:
  $ outrigger run --app-id mathService --app-port 5001 -- python3 math_service.py
  $ outrigger run -f dapr.yaml`;

const SIDECAR_EXAMPLES = `
Example:
  $ outrigger sidecar --app-id mathService --app-port 5001 --dapr-http-port 3500`;

const STOP_EXAMPLES = `
Examples:
  $ outrigger stop mathService
  $ outrigger stop -f dapr.yaml`;

const INVOKE_EXAMPLES = `
Example:
  $ outrigger invoke --app-id mathService --method add --data '{"arg1": 10, "arg2": 23}'`;

async function main(args: readonly string[]): Promise<void> {
  const [name, ...rest] = args;
  const normalised = name === "run" || name === "sidecar" ? [name, ...normaliseArguments(rest, name)] : [...args];
  try {
    await program().parseAsync(normalised, { from: "user" });
  } catch (error) {
    exitCode = report(error);
  }
  process.exitCode = exitCode;
  setTimeout(leave, LEFTOVER_PATIENCE_MS).unref();
}

// The command is over. What others still have under way, an exporter that waits for its collector or a module of the user's, ends
// with the process; where there is nothing of the kind, Node has ended it before.
const LEFTOVER_PATIENCE_MS = 1000;
const OUTPUT_INTERVAL_MS = 50;

function leave(): void {
  if (process.stdout.writableLength + process.stderr.writableLength === 0) process.exit();
  setTimeout(leave, OUTPUT_INTERVAL_MS).unref();
}

/** One line for what the user can mend; the whole stack for what we must. @returns the exit code. */
function report(error: unknown): number {
  // commander has already said what it had to.
  if (error instanceof CommanderError) return error.exitCode;
  const ours = error instanceof Error && !(error instanceof SetupError);
  const text = ours ? stackInSources(error.stack ?? error.message) : messageOf(error);
  context.err.line(`${context.err.paint("red", "outrigger:")} ${text}`);
  return error instanceof CliError ? error.exitCode : 1;
}

await main(process.argv.slice(2));
