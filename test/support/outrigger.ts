import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { TestScope } from "./cleanup.ts";
import { waitFor } from "./wait.ts";

/** The built program, driven as a user would: a process with arguments, an environment and output. */

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const MAIN = join(ROOT, "dist/cli/main.js");
export const APPS = join(ROOT, "test/fixtures/apps");

/** A home directory of the test's own, so that tests neither see each other nor the user's apps. */
export function freshHome(t: TestScope): string {
  const home = mkdtempSync(join(tmpdir(), "outrigger-test-"));
  t.after(() => {
    rmSync(home, { recursive: true, force: true });
  });
  return home;
}

export interface StartOptions {
  readonly home: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** The command that runs it somewhere else, such as a network of its own; it becomes what it runs. */
  readonly within?: readonly string[];
}

/** A running `outrigger …`. */
export class Outrigger {
  readonly process: ChildProcess;
  readonly home: string;
  stdout = "";
  stderr = "";

  constructor(process: ChildProcess, home: string) {
    this.process = process;
    this.home = home;
    process.stdout?.on("data", (chunk: Buffer) => {
      this.stdout += chunk.toString();
    });
    process.stderr?.on("data", (chunk: Buffer) => {
      this.stderr += chunk.toString();
    });
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  get output(): string {
    return `${this.stdout}\n${this.stderr}`;
  }

  get hasExited(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  /** Resolves with the exit code, or the name of the signal that ended it. */
  async exited(): Promise<number | string> {
    if (!this.hasExited) await once(this.process, "close");
    return this.process.exitCode ?? this.process.signalCode ?? "unknown";
  }

  /** Waits until the output has something that matches. Fails at once where the process ends first. */
  async waitForOutput(pattern: RegExp): Promise<RegExpExecArray> {
    return waitFor(`${String(pattern)} in the output:\n${this.output}`, () => {
      const match = pattern.exec(this.output);
      if (match === null && this.hasExited) throw new Error(`it ended without ${String(pattern)}:\n${this.output}`);
      return match ?? undefined;
    });
  }

  /** The HTTP API of one of its apps, once that is announced: `http://127.0.0.1:port`. */
  async api(appId: string): Promise<string> {
    return waitFor(`the API of ${appId}; output so far:\n${this.output}`, async () => {
      if (this.hasExited) throw new Error(`it ended:\n${this.output}`);
      const entry = (await listApps(this.home)).find((app) => app.appId === appId && app.pid === this.pid);
      return entry === undefined ? undefined : `http://${entry.apiHost}:${String(entry.httpPort)}`;
    });
  }

  /** The same, once the app answers on its port too. */
  async readyApi(appId: string): Promise<string> {
    const api = await this.api(appId);
    await waitFor(`${appId} to be healthy; output so far:\n${this.output}`, async () => {
      if (this.hasExited) throw new Error(`it ended:\n${this.output}`);
      return (await fetch(`${api}/v1.0/healthz`).catch(() => undefined))?.status === 204;
    });
    return api;
  }

  /** Sends a signal and waits for the end. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | string> {
    this.process.kill(signal);
    return this.exited();
  }
}

/** Among the arguments of a test that is about pub/sub: the component that is there by itself. */
export const DEFAULT_PUBSUB = "--no-default-pubsub=false";

/**
 * Starts `outrigger <args>`; it is ended with the test. It has no pub/sub but what its resources define, or the arguments ask
 * for: apps of other tests count their requests, and would be asked what they subscribe to.
 */
export function startOutrigger(t: TestScope, args: readonly string[], options: StartOptions): Outrigger {
  const [program = process.execPath, ...more] = [
    ...(options.within ?? []),
    process.execPath,
    MAIN,
    ...withoutDefaultPubSub(args),
    ...withoutFixedPort(args),
  ];
  const child = spawn(program, more, {
    cwd: options.cwd ?? ROOT,
    env: environment(options),
    stdio: ["ignore", "pipe", "pipe"],
  });
  const outrigger = new Outrigger(child, options.home);
  t.after(async () => {
    if (outrigger.hasExited) return;
    child.kill("SIGKILL");
    await outrigger.exited();
  });
  return outrigger;
}

/** Whoever has a run file says it there. */
function withoutDefaultPubSub(args: readonly string[]): readonly string[] {
  const [command = "", ...rest] = args;
  const own = rest.includes("--") ? rest.slice(0, rest.indexOf("--")) : rest;
  const isTold = own.some((arg) => /^(?:--?no-default-pubsub|-f$|--run-file)/.test(arg));
  return ["run", "sidecar"].includes(command) && !isTold ? [command, "--no-default-pubsub", ...rest] : args;
}

/** Sidecars of several tests may run at once, and each has its metrics on one port unless told otherwise. */
function withoutFixedPort(args: readonly string[]): readonly string[] {
  const isTold = args.some((arg) => /^--?(?:metrics-port|enable-metrics)/.test(arg));
  return args[0] === "sidecar" && !isTold ? ["--enable-metrics=false"] : [];
}

export interface ListedApp {
  readonly appId: string;
  readonly namespace: string;
  readonly pid: number;
  readonly apiHost: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly internalPort: number;
  readonly metricsPort?: number;
  readonly httpSocket?: string;
  readonly grpcSocket?: string;
  readonly appPort?: number;
  readonly appPid?: number;
  readonly daprdPid: number;
  readonly cliPid: number;
  readonly runTemplatePath?: string;
  readonly runTemplateName?: string;
  readonly appLogPath?: string;
  readonly daprdLogPath?: string;
}

export async function listApps(home: string): Promise<ListedApp[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, "list", "--json"], {
    cwd: ROOT,
    env: environment({ home }),
  });
  const apps = JSON.parse(stdout) as (ListedApp & { age?: string })[];
  // Another one each time, and what tests compare is what stays.
  for (const app of apps) delete app.age;
  return apps;
}

/** Without what the developer's own shell may say about Dapr, tokens and colours. */
function environment({ home, env }: StartOptions): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(?:DAPR_|APP_|OUTRIGGER_(?!HTTP_CODEC$)|NAMESPACE$|FORCE_COLOR$|NODE_TEST)/.test(name),
  );
  return { ...Object.fromEntries(inherited), OUTRIGGER_HOME: home, NO_COLOR: "1", ...env };
}
