import { createLogger } from "../../observability/log.ts";
import type { RunFile } from "../../resources/run-file.ts";
import { AppProcess } from "../../runtime/app-process.ts";
import { outriggerVersion } from "../../runtime/version.ts";
import { CliError } from "../cli-error.ts";
import { FlagValues, type TypedFlags } from "../flag-values.ts";
import type { CommandContext } from "../prepare-app.ts";
import { withSupervisor } from "../supervisor.ts";
import type { Terminal } from "../terminal.ts";

// A child drains its calls and then its app, each for five seconds unless told otherwise; then it is ended.
const CHILD_PATIENCE_MS = 15_000;
const HANDED_DOWN = ["once", "story", "log-level", "log-as-json"] as const;

/** `run -f --isolated`: one Outrigger process for each app, and this one to watch over them. @returns the exit code. */
export async function runIsolated(
  typed: TypedFlags,
  { path, apps, warnings }: RunFile,
  { env, out, err, main }: CommandContext,
): Promise<number> {
  if (path === undefined) {
    throw new CliError(
      "--isolated reads the run file once for each app; give it as a file, not through standard input",
    );
  }
  tell(warnings, err, new FlagValues(typed).switch("log-as-json"));
  const flags = HANDED_DOWN.flatMap((name) => (typed[name] ?? []).map((value) => `--${name}=${value}`));
  const started = new Set<AppProcess>();
  const children = apps.map((app) => {
    const child = AppProcess.start({
      argv: [process.execPath, main, "run", "--run-file", path, "--only-app", app.appId, ...flags],
      cwd: process.cwd(),
      env: withSupervisor(out.colour ? { ...env, FORCE_COLOR: "1" } : env),
      stdin: "ignore",
      onLine: (line, stream) => {
        // The first thing a child tells the world is where it listens.
        if (stream === "stdout") started.add(child);
        return (stream === "stdout" ? out : err).writePaced(`${line}\n`);
      },
    });
    return child;
  });
  const stopAll = (signal: NodeJS.Signals): void => {
    for (const child of children) void child.stop(signal, CHILD_PATIENCE_MS);
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stopAll);
  const once = new FlagValues(typed).switch("once");
  let failure = 0;
  const watch = async (child: AppProcess): Promise<void> => {
    const code = await child.exited;
    if (failure === 0) failure = code;
    // Where one could not start, none is left running: the same as behind one process.
    if (once || !started.has(child)) stopAll("SIGTERM");
  };
  await Promise.all(children.map(watch));
  return failure;
}

/** What concerns all children is said once. */
function tell(warnings: readonly string[], err: Terminal, json: boolean): void {
  const write = (text: string): void => {
    err.write(text);
  };
  const log = createLogger({
    ...{ level: "info", json, colour: err.colour, dated: !err.isTerminal },
    version: outriggerVersion(),
    write,
  });
  for (const warning of warnings) log.warn(warning);
}
