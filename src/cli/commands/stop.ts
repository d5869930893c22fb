import type { RegistryEntry } from "../../components/nameresolution/registry/registry-store.ts";
import { messageOf } from "../../core/errors.ts";
import { APP_PATIENCE_MS } from "../../runtime/hosted-app.ts";
import { systemClock } from "../../runtime/system-clock.ts";
import { CONTROL_TOKEN_HEADER } from "../../transport/http/api-server.ts";
import { callApi } from "../call-api.ts";
import { CliError } from "../cli-error.ts";
import type { CommandContext } from "../prepare-app.ts";
import { apiOf, instancesOf, runningApps } from "../running-apps.ts";

const ANSWER_PATIENCE_MS = 20_000;
// For what comes between and behind: a busy machine, the children of the app.
const SLACK_MS = 10_000;
const LOOK_MS = 100;
// People wonder after about two seconds.
const NOTICE_MS = 2000;

/** `outrigger stop <app-id>`: ends every instance of the app, its sidecar included. @returns the exit code. @throws {CliError} */
export async function stop(name: string, context: CommandContext): Promise<number> {
  for (const entry of await instancesOf(name, context)) {
    await askToEnd(entry);
    await waitUntilGone(entry, context);
    context.out.line(`${entry.instance.app.id} has ended.`);
  }
  return 0;
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

/** The app's own process is the last to go; without one, the registry entry tells. */
async function waitUntilGone(entry: RegistryEntry, context: CommandContext): Promise<void> {
  const { app, instanceId } = entry.instance;
  const patienceMs = entry.details.gracefulShutdownMs + APP_PATIENCE_MS + SLACK_MS;
  const startedAt = systemClock.monotonic();
  let noticed = !context.err.isTerminal;
  for (let waited = 0; waited < patienceMs; waited = systemClock.monotonic() - startedAt) {
    const entries = await runningApps(context);
    const listed = entries.some(({ instance }) => instance.instanceId === instanceId);
    if (!listed && !isRunning(entry.details.appPid)) return;
    if (!noticed && waited > NOTICE_MS) {
      const seconds = Math.ceil(patienceMs / 1000);
      context.err.line(`${app.id} finishes the calls that run; it may take ${seconds} s, and is waited for`);
      noticed = true;
    }
    await systemClock.sleep(LOOK_MS);
  }
  throw new CliError(`${app.id} was asked to end and is still running (pid ${entry.details.pid})`);
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
