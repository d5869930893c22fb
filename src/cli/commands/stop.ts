import type { RegistryEntry } from "../../components/nameresolution/registry/registry-store.ts";
import { messageOf } from "../../core/errors.ts";
import { systemClock } from "../../runtime/system-clock.ts";
import { CONTROL_TOKEN_HEADER } from "../../transport/http/api-server.ts";
import { CliError } from "../cli-error.ts";
import type { CommandContext } from "../prepare-app.ts";
import { apiUrlOf, instancesOf, runningApps } from "../running-apps.ts";

// Longer than a sidecar's own patience with its calls and its app together.
const PATIENCE_MS = 20_000;
const LOOK_MS = 100;

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
  const url = `${apiUrlOf(entry)}/v1.0/shutdown`;
  try {
    const headers = { [CONTROL_TOKEN_HEADER]: entry.details.controlToken };
    const response = await fetch(url, { method: "POST", headers, signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!response.ok) throw new Error(`it answered ${response.status}`);
  } catch (cause) {
    throw new CliError(`cannot reach the sidecar of ${entry.instance.app.id} at ${url}: ${messageOf(cause)}`, 1, {
      cause,
    });
  }
}

/** The app's own process is the last to go; without one, the registry entry tells. */
async function waitUntilGone(entry: RegistryEntry, context: CommandContext): Promise<void> {
  const { instanceId } = entry.instance;
  const deadline = systemClock.monotonic() + PATIENCE_MS;
  while (systemClock.monotonic() < deadline) {
    const entries = await runningApps(context);
    const listed = entries.some(({ instance }) => instance.instanceId === instanceId);
    if (!listed && !isRunning(entry.details.appPid)) return;
    await systemClock.sleep(LOOK_MS);
  }
  throw new CliError(`${entry.instance.app.id} was asked to end and is still running (pid ${entry.details.pid})`);
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
