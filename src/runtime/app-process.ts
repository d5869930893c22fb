import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { constants as os } from "node:os";
import { delimiter, join, resolve } from "node:path";
import type { Duplex, Readable } from "node:stream";
import { SetupError } from "../core/errors.ts";
import { LineSplitter } from "./line-splitter.ts";

export interface AppCommand {
  readonly argv: readonly [program: string, ...args: string[]];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** Whether the app reads this process's standard input. */
  readonly stdin: "inherit" | "ignore";
  /** @returns what to wait for before the stream is read on, where whoever shows the lines cannot keep up. */
  onLine(line: string, stream: "stdout" | "stderr"): Promise<void> | undefined;
}

/**
 * The app's process group outlives nobody: the shell that becomes the app first leaves a watcher behind, which reads
 * from a pipe that only Outrigger holds. However Outrigger ends, kill -9 included, the pipe closes, and the watcher ends
 * the group: SIGTERM, unless it was told that the group has had its signal, and SIGKILL once its patience is over. The app
 * itself replaces the shell, so its pid, its signals and its exit code are its own.
 *
 * $0 is the watcher's patience in tenths of a second, "$@" the app's command line. `others` asks /proc whether anybody but
 * the watcher is left in the group; where there is no /proc, whether the app is.
 */
const GUARD = `
(
  trap '' INT TERM HUP QUIT
  others() {
    [ -r /proc/self/stat ] || { kill -0 $$; return; }
    read -r me rest </proc/self/stat
    for stat in /proc/[0-9]*/stat; do
      read -r line <"$stat" || continue
      pid=\${line%% *}
      set -- \${line##*) }
      [ "$3" = $$ ] && [ "$1" != Z ] && [ "$pid" != "$me" ] && return 0
    done
    return 1
  }
  told=
  while read -r word <&3; do told=$word; done
  [ -n "$told" ] || kill -TERM 0
  tenths=0
  while [ "$tenths" -lt "$0" ] && others; do sleep 0.1; tenths=$((tenths + 1)); done
  kill -KILL 0
) </dev/null >/dev/null 2>&1 &
exec 3<&-
`;
const GUARD_PATIENCE_TENTHS = 50;

const NAME_TO_A_SHELL = /^[A-Za-z_][A-Za-z0-9_]*$/;
// Read or set by shells themselves: dash's and bash's.
const SHELLS_OWN = new Set("BASHOPTS EUID IFS LINENO OPTIND PPID PS4 RANDOM SECONDS SHELLOPTS UID".split(" "));

interface Launch {
  /** Becomes the app, whose command line is "$@", with the environment as it was given. */
  readonly script: string;
  /** The shell's own environment. */
  readonly env: NodeJS.ProcessEnv;
}

/**
 * A shell drops variables whose names are none to it (`spring.profiles.active`) and sets some itself. Those are carried
 * past it under names of its kind, and restored at the very end; what is no shell's business by env(1), whose arguments
 * can be seen for the moment until it becomes the app. They are never among the shell's, whose copy the watcher keeps.
 */
function launch(env: NodeJS.ProcessEnv): Launch {
  const kept: NodeJS.ProcessEnv = {};
  const carriers: string[] = [];
  const carry = (value: string): string => {
    const name = `OUTRIGGER_CARRIED_${carriers.length}`;
    carriers.push(name);
    kept[name] = value;
    return `"$${name}"`;
  };
  const assignments: string[] = [];
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || name === "" || name === "PWD" || name === "OLDPWD") continue;
    if (NAME_TO_A_SHELL.test(name) && !SHELLS_OWN.has(name)) kept[name] = value;
    else assignments.push(carry(`${name}=${value}`));
  }
  const directories = ["PWD", "OLDPWD"].map((name) => {
    const value = env[name];
    return value === undefined ? `unset ${name}` : `export ${name}=${carry(value)}`;
  });
  const command = assignments.length === 0 ? [] : [`set -- /usr/bin/env ${assignments.join(" ")} "$@"`];
  const forget = carriers.length === 0 ? [] : [`unset ${carriers.join(" ")}`];
  return { script: [...directories, ...command, ...forget, 'exec "$@"'].join("\n"), env: kept };
}

// The guard's patience and a moment more; what then still holds the app's output has left its group.
const OUTPUT_PATIENCE_MS = 6000;

/** An app that Outrigger has started. Its children are in its process group, and end with it. */
export class AppProcess {
  /**
   * Resolves with the exit code, 128 + n where signal n ended it, once its children have ended too and its output has been
   * read. Rejects with a SetupError where it could not be started.
   */
  readonly exited: Promise<number>;
  readonly #child: ChildProcess;
  #over = false;

  static start(command: AppCommand): AppProcess {
    const { script, env } = launch(command.env);
    const child = spawn("/bin/sh", ["-c", GUARD + script, `${GUARD_PATIENCE_TENTHS}`, ...command.argv], {
      cwd: command.cwd,
      env,
      // A group of its own, so that a Ctrl-C at the terminal reaches Outrigger alone, which decides what comes first.
      detached: true,
      stdio: [command.stdin, "pipe", "pipe", "pipe"],
    });
    return new AppProcess(child, command);
  }

  private constructor(child: ChildProcess, command: AppCommand) {
    this.#child = child;
    for (const name of ["stdout", "stderr"] as const) {
      const stream = child[name];
      // Never null: stdio above asks for a pipe.
      if (stream !== null) this.#readLines(stream, (line) => command.onLine(line, name));
    }
    // Written to when the guard may be gone already.
    this.#guard?.on("error", () => undefined);
    this.exited = new Promise((resolveExit, reject) => {
      child.once("error", (cause) => {
        reject(new SetupError(`cannot start "${command.argv[0]}": ${cause.message}`, { cause }));
      });
      child.once("exit", (code, signal) => {
        this.#over = true;
        // The group ends with its leader: the guard sees to it, and its end of the pipe closes when it has.
        this.#guard?.end();
        const exitCode = code ?? 128 + (signal === null ? 0 : os.signals[signal]);
        const done = (): void => {
          clearTimeout(tooLong);
          child.stdout?.destroy();
          child.stderr?.destroy();
          this.#guard?.destroy();
          resolveExit(exitCode);
        };
        const tooLong = setTimeout(done, OUTPUT_PATIENCE_MS);
        child.once("close", done);
      });
    });
  }

  /** Undefined where it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Sends `signal` to the app and its children, as a terminal would. */
  signal(signal: NodeJS.Signals): void {
    if (this.#over || this.pid === undefined) return;
    try {
      process.kill(-this.pid, signal);
    } catch {
      // It ended a moment ago.
    }
  }

  /** Asks the app to end, and ends it after `patienceMs`. */
  async stop(signal: NodeJS.Signals, patienceMs: number): Promise<void> {
    this.#guard?.write("told\n");
    this.signal(signal);
    const timer = setTimeout(() => {
      this.signal("SIGKILL");
    }, patienceMs);
    try {
      await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }

  #readLines(stream: Readable, onLine: (line: string) => Promise<void> | undefined): void {
    const splitter = new LineSplitter();
    const tell = (lines: readonly string[]): void => {
      let mayGoOn: Promise<void> | undefined;
      for (const line of lines) mayGoOn = onLine(line) ?? mayGoOn;
      // What an app leaves behind when it ends is little, and its exit is told once that is read.
      if (mayGoOn === undefined || this.#over) return;
      stream.pause();
      void mayGoOn.then(() => stream.resume());
    };
    stream.on("data", (chunk: Buffer) => {
      tell(splitter.push(chunk));
    });
    stream.on("end", () => {
      tell(splitter.end());
    });
    this.#child.once("exit", () => stream.resume());
  }

  get #guard(): Duplex | null {
    return this.#child.stdio[3] as Duplex | null;
  }
}

/** @throws {SetupError} naming the program, where there is no such program or directory. */
export function refuseMissingProgram({ argv: [program], cwd, env }: Pick<AppCommand, "argv" | "cwd" | "env">): void {
  try {
    if (!statSync(cwd).isDirectory()) throw new Error("it is not a directory");
  } catch (cause) {
    throw new SetupError(`cannot start "${program}" in ${cwd}: ${(cause as Error).message}`, { cause });
  }
  const places = program.includes("/")
    ? [resolve(cwd, program)]
    : (env["PATH"] ?? "").split(delimiter).map((directory) => join(directory, program));
  if (places.some(isExecutable)) return;
  const where = program.includes("/")
    ? `${places[0] ?? program} does not exist or is not executable`
    : "no such program in PATH";
  throw new SetupError(`cannot start "${program}": ${where}`);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
