import type { RegistryEntry } from "../../components/nameresolution/registry/registry-store.ts";
import type { CommandContext } from "../prepare-app.ts";
import { runningApps } from "../running-apps.ts";
import { table } from "../terminal.ts";

/** `outrigger list`: what runs under this home. @returns the exit code. */
export async function list(options: { readonly json: boolean }, context: CommandContext): Promise<number> {
  const { out } = context;
  const entries = await runningApps(context);
  if (options.json) out.line(JSON.stringify(entries.map(toJson), undefined, 2));
  else if (entries.length === 0) out.line("No apps are running. Start one: outrigger run --app-id hello -- <command>");
  else out.write(table([HEADINGS, ...entries.map(toRow)]));
  return 0;
}

const HEADINGS = ["APP ID", "NAMESPACE", "HTTP PORT", "GRPC PORT", "APP PORT", "AGE", "PID", "APP PID", "COMMAND"];

function toRow({ instance, details }: RegistryEntry): string[] {
  const { httpPort, grpcPort, appPort, startedAtMs, pid, appPid, command } = details;
  const ports = [httpPort, grpcPort, appPort].map(cell);
  return [instance.app.id, instance.app.namespace, ...ports, age(startedAtMs), cell(pid), cell(appPid), command];
}

function cell(value: number | undefined): string {
  return value === undefined ? "-" : String(value);
}

function age(startedAtMs: number): string {
  const seconds = Math.max(0, Math.floor((Date.now() - startedAtMs) / 1000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${String(Math.floor(seconds / 60))}m`;
  return `${String(Math.floor(seconds / 3600))}h`;
}

/** Everything but the control token, which opens a door. */
function toJson({ instance, details }: RegistryEntry): Record<string, unknown> {
  const { pid, apiHost, httpPort, grpcPort, httpSocket, grpcSocket, appPort, appPid, command, startedAtMs } = details;
  const { id: appId, namespace } = instance.app;
  const startedAt = new Date(startedAtMs).toISOString();
  return {
    appId,
    namespace,
    pid,
    // What there is of these: ports of this host, or sockets.
    apiHost: httpPort === undefined ? undefined : apiHost,
    httpPort,
    grpcPort,
    httpSocket,
    grpcSocket,
    internalPort: instance.port,
    appPort,
    appPid,
    command,
    startedAt,
  };
}
