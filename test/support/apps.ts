import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { TestScope } from "./cleanup.ts";
import { APPS, type ListedApp, listApps, type Outrigger, startOutrigger } from "./outrigger.ts";
import { ownPort } from "./own-port.ts";
import { folderWith } from "./processes.ts";
import { waitFor } from "./wait.ts";

/** The apps of test/fixtures/apps, put behind Outriggers. What they do: test/fixtures/apps/README.md. */

export type Language = "node" | "python" | "go";
export const LANGUAGES: readonly Language[] = ["node", "python", "go"];

export type Command = readonly [program: string, ...args: string[]];

/** How to start the app of each language; the Go one has been built. */
export class FixtureApps {
  readonly #programs: Readonly<Record<Language, Command>>;

  constructor(goProgram: string) {
    this.#programs = {
      node: [process.execPath, join(APPS, "node/app.mjs")],
      // -B: no __pycache__ beside the source.
      python: ["python3", "-B", join(APPS, "python/app.py")],
      go: [goProgram],
    };
  }

  serve(language: Language): Command {
    return [...this.#programs[language], "serve"];
  }

  call(language: Language, target: string, calls: number): Command {
    return [...this.#programs[language], "call", target, String(calls)];
  }
}

export async function buildApps(t: TestScope): Promise<FixtureApps> {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-go-"));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const program = join(folder, "app");
  const env = { ...process.env, GOTOOLCHAIN: "local", GOPROXY: "off", GOFLAGS: "", GOWORK: "off" };
  await promisify(execFile)("go", ["build", "-o", program, "."], { cwd: join(APPS, "go"), env });
  return new FixtureApps(program);
}

/** An app that can be called, and its sidecar. */
export interface RunningCallee {
  readonly appId: string;
  readonly outrigger: Outrigger;
  /** The sidecar's HTTP API, `http://127.0.0.1:port`. */
  readonly api: string;
  /** The app itself, past its sidecar. */
  readonly direct: string;
  readonly appPid: number;
}

export interface CalleeOptions {
  readonly home: string;
  readonly appId: string;
  readonly command: Command;
  readonly flags?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** `outrigger run` with an app that serves, in a process of its own; resolves once it can be called. */
export async function startCallee(t: TestScope, options: CalleeOptions): Promise<RunningCallee> {
  const { home, appId, command, flags = [], env = {} } = options;
  const port = await ownPort();
  const args = ["run", "--app-id", appId, "--app-port", String(port), ...QUIET, ...flags, "--", ...command];
  const outrigger = startOutrigger(t, args, { home, env });
  return calleeOf(outrigger, appId);
}

/** A sidecar without an app, for callers that the test itself plays. @returns its API. */
export async function startCaller(
  t: TestScope,
  options: { home: string; appId: string; flags?: readonly string[]; env?: NodeJS.ProcessEnv },
): Promise<{ readonly outrigger: Outrigger; readonly api: string }> {
  const { home, appId, flags = [], env = {} } = options;
  const outrigger = startOutrigger(t, ["run", "--app-id", appId, ...QUIET, ...flags], { home, env });
  return { outrigger, api: apiOf(await listed(outrigger, appId)) };
}

export interface HostedApp {
  readonly appId: string;
  /** Undefined for a sidecar without an app, or an app that only calls. */
  readonly command?: Command;
  readonly serves: boolean;
  /** Further keys of the run file's app. */
  readonly keys?: Readonly<Record<string, string | number>>;
}

export interface RunningHost {
  readonly outrigger: Outrigger;
  callee(appId: string): Promise<RunningCallee>;
  /** The API of an app that is not called. */
  api(appId: string): Promise<string>;
}

/** `outrigger run -f` with a run file for these apps: one process for all of them. */
export async function startHost(t: TestScope, home: string, apps: readonly HostedApp[]): Promise<RunningHost> {
  const described = [];
  for (const { appId, command = [], serves, keys = {} } of apps) {
    described.push({
      appID: appId,
      appDirPath: ".",
      command,
      ...(serves ? { appPort: await ownPort() } : {}),
      ...keys,
    });
  }
  // JSON is YAML.
  const folder = folderWith(t, {
    "dapr.yaml": JSON.stringify({ version: 1, common: { noDefaultPubsub: true }, apps: described }, undefined, 2),
  });
  const outrigger = startOutrigger(t, ["run", "-f", join(folder, "dapr.yaml"), ...QUIET], { home });
  return {
    outrigger,
    callee: (appId) => calleeOf(outrigger, appId),
    api: async (appId) => apiOf(await listed(outrigger, appId)),
  };
}

// A line for each of some hundred thousand calls would be the test's own load.
const QUIET = ["--story=false"];

async function calleeOf(outrigger: Outrigger, appId: string): Promise<RunningCallee> {
  await outrigger.waitForOutput(new RegExp(`^${appId} +● answers`, "m"));
  const { appPort, appPid, ...app } = await listed(outrigger, appId);
  if (appPort === undefined || appPid === undefined) throw new Error(`${appId} is listed without its app`);
  return { appId, outrigger, api: apiOf(app), direct: `http://127.0.0.1:${appPort}`, appPid };
}

/** What the registry says of this app in this process; several processes may have one id. */
async function listed(outrigger: Outrigger, appId: string): Promise<ListedApp> {
  await outrigger.waitForOutput(/Ctrl-C ends everything/);
  const find = async (): Promise<ListedApp | undefined> => {
    const apps = await listApps(outrigger.home);
    return apps.find((app) => app.appId === appId && app.pid === outrigger.pid);
  };
  return waitFor(`${appId} to be listed; output:\n${outrigger.output}`, find);
}

function apiOf({ apiHost, httpPort }: Pick<ListedApp, "apiHost" | "httpPort">): string {
  return `http://${apiHost}:${httpPort}`;
}

export interface CallerResult {
  readonly language: Language;
  readonly target: string;
  readonly calls: number;
  readonly checks: Readonly<Record<string, number>>;
  readonly failures: readonly string[];
}

/** The line an app that calls has printed, wherever it stands in the output of its Outrigger. */
export function callerResultIn(output: string): CallerResult | undefined {
  const line = /\{"[^\n]*"failures":[^\n]*\}$/m.exec(output)?.[0] ?? /\{[^\n]*"checks":[^\n]*\}$/m.exec(output)?.[0];
  return line === undefined ? undefined : (JSON.parse(line) as CallerResult);
}

/** The running processes of a group; apps lead groups of their own. */
export function processGroup(leader: number): number[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => groupOf(pid) === leader);
}

/** Undefined for what has ended, zombies included. */
function groupOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // After the program's name in parentheses: state, parent, group.
    const [state = "Z", , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return /^[ZX]/.test(state) ? undefined : Number(group);
  } catch {
    return undefined;
  }
}
