import { messageOf } from "../../core/errors.ts";
import { APP_PATIENCE_MS } from "../../runtime/hosted-app.ts";
import { isWithinSight, mayBeAlive } from "../../runtime/registry/process-identity.ts";
import type { RegistryEntry } from "../../runtime/registry/registry-store.ts";
import { systemClock } from "../../runtime/system-clock.ts";
import { CONTROL_TOKEN_HEADER } from "../../transport/http/api-server.ts";
import { callApi } from "../call-api.ts";
import { CliError } from "../cli-error.ts";
import type { CommandContext } from "../prepare-app.ts";
import { apiOf, instancesIn, notRunning, runningApps } from "../running-apps.ts";

export interface StopOptions {
  readonly json: boolean;
  readonly runFile?: string;
}

const ANSWER_PATIENCE_MS = 20_000;
// For what comes between and behind: a busy machine, the children of the app.
const SLACK_MS = 10_000;
const LOOK_MS = 100;
// People wonder after about two seconds.
const NOTICE_MS = 2000;

/** What became of one instance, or of a name that nothing has. */
interface Outcome {
  readonly appId: string;
  readonly entry?: RegistryEntry;
  /** Why it has not ended. */
  readonly error?: CliError;
}

/**
 * `outrigger stop <app-id>...` and `outrigger stop -f <run file>`: ends every instance of the apps, their sidecars included.
 * An app that cannot be ended keeps no other from it.
 *
 * @returns the exit code, 1 where one is not there or has not ended. @throws {CliError} where there is nothing to end.
 */
export async function stop(names: readonly string[], options: StopOptions, context: CommandContext): Promise<number> {
  const report = new Report(options.json, context);
  if (options.runFile === undefined) await stopByName(names, report, context);
  else if (names.length > 0) throw new CliError("give ids of apps, or a run file with -f, not both");
  else await stopRunFile(options.runFile, report, context);
  return report.finish();
}

async function stopByName(names: readonly string[], report: Report, context: CommandContext): Promise<void> {
  if (names.length === 0) throw new CliError("say which app to end: give its id, or the run file of several with -f");
  const all = await runningApps(context);
  const entries = new Set<RegistryEntry>();
  for (const name of new Set(names)) {
    try {
      for (const entry of instancesIn(all, name, context)) entries.add(entry);
    } catch (error) {
      report.add({ appId: name, error: error as CliError });
    }
  }
  report.expect([...entries]);
  const asked = await askAllToEnd([...entries], report);
  await waitUntilGone(asked, ({ details }) => isRunning(details.appPid), report, context);
}

/** @returns those that were reached. */
async function askAllToEnd(entries: readonly RegistryEntry[], report: Report): Promise<Set<RegistryEntry>> {
  const asked = new Set<RegistryEntry>();
  const ask = async (entry: RegistryEntry): Promise<void> => {
    try {
      await askToEnd(entry);
      asked.add(entry);
    } catch (error) {
      report.add({ appId: entry.instance.app.id, entry, error: error as CliError });
    }
  };
  await Promise.all(entries.map(ask));
  return asked;
}

/** With a signal to each process, so that its apps finish their calls together before any of them ends. */
async function stopRunFile(path: string, report: Report, context: CommandContext): Promise<void> {
  const { locateRunFile } = await import("../../resources/run-file.ts");
  const file = locateRunFile(path);
  if (file === undefined) throw new CliError("-f - names no run file; give the file, or the ids of the apps");
  const all = await runningApps(context);
  const entries = all.filter(({ details }) => details.origin?.runFile === file);
  if (entries.length === 0) throw notRunning(`app of ${file}`, all, context);
  report.expect(entries);
  // A signal would reach another one there.
  const elsewhere = entries.filter(({ process }) => !isWithinSight(process));
  const here = entries.filter(({ process }) => isWithinSight(process));
  const signalled = endProcesses(here, report);
  const asked = await askAllToEnd(elsewhere, report);
  const remains = ({ process }: RegistryEntry): boolean => isWithinSight(process) && mayBeAlive(process);
  await waitUntilGone(new Set([...signalled, ...asked]), remains, report, context);
}

/** Signals each process once, for a second signal hurries it. @returns those whose process was told, or has ended already. */
function endProcesses(entries: readonly RegistryEntry[], report: Report): RegistryEntry[] {
  const failures = new Map<number, CliError | undefined>();
  return entries.filter((entry) => {
    const { details, instance } = entry;
    // With --isolated the one that watches over the others, which lives as long as they do.
    const pid = details.origin?.cliPid ?? details.pid;
    if (!failures.has(pid)) failures.set(pid, endProcess(pid));
    const error = failures.get(pid);
    if (error !== undefined) report.add({ appId: instance.app.id, entry, error });
    return error === undefined;
  });
}

function endProcess(pid: number): CliError | undefined {
  try {
    process.kill(pid, "SIGTERM");
    return undefined;
  } catch (cause) {
    // It ended a moment ago.
    if ((cause as NodeJS.ErrnoException).code === "ESRCH") return undefined;
    return new CliError(`cannot end process ${pid}: ${messageOf(cause)}`, 1, { cause });
  }
}

async function askToEnd(entry: RegistryEntry): Promise<void> {
  const api = apiOf(entry);
  const path = "/v1.0/shutdown";
  try {
    const headers = { [CONTROL_TOKEN_HEADER]: entry.details.controlToken };
    const signal = AbortSignal.timeout(ANSWER_PATIENCE_MS);
    const response = await callApi(api, { method: "POST", path, headers, signal });
    response.resume();
    const { statusCode = 0 } = response;
    if (statusCode < 200 || statusCode > 299) throw new Error(`it answered ${statusCode}`);
  } catch (cause) {
    throw new CliError(
      `cannot reach the sidecar of ${entry.instance.app.id} at ${api.url}${path}: ${messageOf(cause)}`,
      1,
      {
        cause,
      },
    );
  }
}

/** An instance is gone when the registry has it no more and nothing of it `remains`: its process is the last to go. */
async function waitUntilGone(
  pending: Set<RegistryEntry>,
  remains: (entry: RegistryEntry) => boolean,
  report: Report,
  context: CommandContext,
): Promise<void> {
  const startedAt = systemClock.monotonic();
  for (;;) {
    const waited = systemClock.monotonic() - startedAt;
    const listed = new Set((await runningApps(context)).map(({ instance }) => instance.instanceId));
    for (const entry of pending) {
      const { app, instanceId } = entry.instance;
      const patienceMs = entry.details.gracefulShutdownMs + APP_PATIENCE_MS + SLACK_MS;
      const isThere = listed.has(instanceId) || remains(entry);
      if (isThere && waited < patienceMs) {
        if (waited > NOTICE_MS) report.notice(entry, patienceMs);
        continue;
      }
      pending.delete(entry);
      const late = new CliError(`${app.id} was asked to end and is still running (pid ${entry.details.pid})`);
      report.add({ appId: app.id, entry, ...(isThere ? { error: late } : {}) });
    }
    if (pending.size === 0) return;
    await systemClock.sleep(LOOK_MS);
  }
}

function isRunning(pid: number | undefined): boolean {
  if (pid === undefined) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Says what becomes of each as soon as it is known, or all of it at the end as JSON. */
class Report {
  readonly #json: boolean;
  readonly #context: CommandContext;
  readonly #outcomes: Outcome[] = [];
  readonly #noticed = new Set<RegistryEntry>();
  #expected: readonly RegistryEntry[] = [];

  constructor(json: boolean, context: CommandContext) {
    this.#json = json;
    this.#context = context;
  }

  /** These are to be ended. */
  expect(entries: readonly RegistryEntry[]): void {
    this.#expected = entries;
  }

  add(outcome: Outcome): void {
    this.#outcomes.push(outcome);
    if (this.#json) return;
    const { appId, entry, error } = outcome;
    const { out, err } = this.#context;
    if (error !== undefined) err.line(`${err.paint("red", "outrigger:")} ${error.message}`);
    else out.line(`${appId}${this.#which(entry)} has ended.`);
  }

  /** On a terminal, once for each that takes long. */
  notice(entry: RegistryEntry, patienceMs: number): void {
    const { err } = this.#context;
    if (!err.isTerminal || this.#noticed.has(entry)) return;
    this.#noticed.add(entry);
    const seconds = Math.ceil(patienceMs / 1000);
    const who = `${entry.instance.app.id}${this.#which(entry)}`;
    err.line(`${who} finishes the calls that run; it may take ${seconds} s, and is waited for`);
  }

  /** @returns the exit code. */
  finish(): number {
    if (this.#json) this.#context.out.line(JSON.stringify(this.#outcomes.map(toRecord), undefined, 2));
    return this.#outcomes.some(({ error }) => error !== undefined) ? 1 : 0;
  }

  /** Tells instances of one id apart, where there are several. */
  #which(entry: RegistryEntry | undefined): string {
    if (entry === undefined) return "";
    const { id } = entry.instance.app;
    const namesakes = this.#expected.filter(({ instance }) => instance.app.id === id);
    return namesakes.length > 1 ? ` (pid ${entry.details.pid})` : "";
  }
}

function toRecord({ appId, entry, error }: Outcome): Record<string, unknown> {
  return {
    appId,
    namespace: entry?.instance.app.namespace,
    pid: entry?.details.pid,
    stopped: error === undefined,
    error: error?.message,
  };
}
