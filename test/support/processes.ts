import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { TestScope } from "./cleanup.ts";
import {
  freshHome,
  type ListedApp,
  listApps,
  type Outrigger,
  ROOT,
  type StartOptions,
  startOutrigger,
} from "./outrigger.ts";
import { waitFor } from "./wait.ts";

/** Processes as the kernel sees them (Linux): who runs, who is left over. */

/** An app to put behind Outrigger; its first lines say what it can do. */
export const APP = join(ROOT, "test/fixtures/run-files/app.mjs");

/** A home of the test's own. Whatever runs under it when the test is over is ended, stopped processes included. */
export function ownHome(t: TestScope): string {
  const cleanups: (() => unknown)[] = [];
  const home = freshHome({ after: (fn) => cleanups.push(fn) });
  t.after(async () => {
    for (const { pid } of processesOf(home)) kill(pid, "SIGKILL");
    await nothingRunsUnder(home);
    for (const cleanup of cleanups) await cleanup();
  });
  return home;
}

export interface RunningProcess {
  readonly pid: number;
  readonly command: string;
}

/**
 * Every process with this OUTRIGGER_HOME in its environment: Outrigger itself, its guards, its apps and all that they
 * have started. A zombie has ended and is not one of them.
 */
export function processesOf(home: string): RunningProcess[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => {
    const environment = contentsOf(`/proc/${pid}/environ`).split("\0");
    if (!environment.includes(`OUTRIGGER_HOME=${home}`) || !isRunning(Number(pid))) return [];
    return [{ pid: Number(pid), command: contentsOf(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim() }];
  });
}

/** False for a zombie too. */
export function isRunning(pid: number): boolean {
  const stat = contentsOf(`/proc/${pid}/stat`);
  return stat !== "" && !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
}

export async function nothingRunsUnder(home: string): Promise<void> {
  let left: RunningProcess[] = [];
  try {
    await waitFor("all processes to end", () => {
      left = processesOf(home);
      return left.length === 0;
    });
  } catch (cause) {
    throw new Error(`still running under ${home}: ${JSON.stringify(left)}`, { cause });
  }
}

/** Sends a signal by id; a process that has just ended is no error. */
export function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

export interface Ended {
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** Waits until the process has ended and everything it wrote has been read. */
export async function ended(outrigger: Outrigger): Promise<Ended> {
  const { process: child } = outrigger;
  await waitFor(`the end of ${child.spawnargs.slice(2).join(" ")}; output so far:\n${outrigger.output}`, () => {
    const read = child.stdout?.closed !== false && child.stderr?.closed !== false;
    return outrigger.hasExited && read;
  });
  return { code: await outrigger.exited(), stdout: outrigger.stdout, stderr: outrigger.stderr };
}

/** Runs `outrigger <args>` to its end; gives up on a run that does not end. */
export async function runToEnd(t: TestScope, args: readonly string[], options: StartOptions): Promise<Ended> {
  return ended(startOutrigger(t, args, options));
}

export interface RunningApp {
  readonly outrigger: Outrigger;
  /** `http://127.0.0.1:port` of the API. */
  readonly api: string;
  readonly listed: ListedApp;
}

/** `outrigger run` for an app that listens on `appPort` already, or not at all. */
export async function startBeside(
  t: TestScope,
  appId: string,
  appPort: number | undefined,
  options: StartOptions & { readonly flags?: readonly string[] },
): Promise<RunningApp> {
  const port = appPort === undefined ? [] : ["--app-port", String(appPort)];
  const outrigger = startOutrigger(t, ["run", "--app-id", appId, ...port, ...(options.flags ?? [])], options);
  return whenReady(outrigger, appId);
}

/** `outrigger run` with the app of {@link APP} on a port of its own. */
export async function startWithApp(
  t: TestScope,
  appId: string,
  appPort: number,
  options: StartOptions & { readonly flags?: readonly string[] },
): Promise<RunningApp> {
  const flags = ["--app-id", appId, "--app-port", String(appPort), ...(options.flags ?? [])];
  return whenReady(startOutrigger(t, ["run", ...flags, "--", process.execPath, APP], options), appId);
}

/** Waits until the app can be called. */
export async function whenReady(outrigger: Outrigger, appId: string): Promise<RunningApp> {
  await outrigger.waitForOutput(new RegExp(`^${appId} +● answers|no app port`, "m"));
  const all = await listApps(outrigger.home);
  const listed = all.find((app) => app.appId === appId);
  if (listed === undefined) {
    // What is listed now, and whether the registry was begun anew meanwhile, tells why.
    const later = (await listApps(outrigger.home)).map((app) => app.appId);
    const files = readdirSync(join(outrigger.home, "registry"));
    const seen = `listed: ${all.map((app) => app.appId).join()}; later: ${later.join()}; files: ${files.join()}`;
    throw new Error(`${appId} is not listed; ${seen}; output:\n${outrigger.output}`);
  }
  return { outrigger, api: `http://${listed.apiHost}:${listed.httpPort}`, listed };
}

/** A folder of the test's own with these files in it, by path. */
export function folderWith(t: TestScope, files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-files-"));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text, { mode: 0o755 });
  }
  return folder;
}

function contentsOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // It ended a moment ago, or is not ours to look at.
    return "";
  }
}
