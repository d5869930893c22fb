import { relative } from "node:path";
import type { RegistryEntry } from "../../runtime/registry/registry-store.ts";
import { CliError } from "../cli-error.ts";
import { localTime } from "../local-time.ts";
import type { CommandContext } from "../prepare-app.ts";
import { runningApps } from "../running-apps.ts";
import { type Terminal, table } from "../terminal.ts";

export interface ListOptions {
  readonly json: boolean;
  readonly output?: "table" | "json" | "yaml";
}

/** `outrigger list`: what runs under this home. @returns the exit code. @throws {CliError} */
export async function list({ json, output }: ListOptions, context: CommandContext): Promise<number> {
  const { out } = context;
  if (json && output !== undefined && output !== "json") throw new CliError(`give --json or -o ${output}, not both`);
  const entries = await runningApps(context);
  const nowMs = Date.now();
  if (json || output === "json")
    out.line(
      JSON.stringify(
        entries.map((entry) => toRecord(entry, nowMs)),
        undefined,
        2,
      ),
    );
  else if (output === "yaml") {
    const { toYaml } = await import("../yaml-text.ts");
    out.write(toYaml(entries.map((entry) => toRecord(entry, nowMs))));
  } else if (entries.length === 0)
    out.line("No apps are running. Start one: outrigger run --app-id hello -- <command>");
  else out.write(toTable(entries, nowMs, out));
  return 0;
}

interface Column {
  readonly heading: string;
  readonly cell: (entry: RegistryEntry, nowMs: number) => string;
  /** Left out where no app has anything to say there. */
  readonly isNeeded?: (entry: RegistryEntry) => boolean;
}

const COLUMNS: readonly Column[] = [
  { heading: "APP ID", cell: ({ instance }) => instance.app.id },
  { heading: "NAMESPACE", cell: ({ instance }) => instance.app.namespace },
  { heading: "HTTP PORT", cell: ({ details }) => text(details.httpPort) },
  { heading: "GRPC PORT", cell: ({ details }) => text(details.grpcPort) },
  { heading: "APP PORT", cell: ({ details }) => text(details.appPort) },
  { heading: "AGE", cell: ({ details }, nowMs) => ageOf(details.startedAtMs, nowMs) },
  { heading: "CREATED", cell: ({ details }) => localTime(details.startedAtMs) },
  { heading: "PID", cell: ({ details }) => text(details.pid) },
  {
    heading: "CLI PID",
    cell: ({ details }) => text(details.origin?.cliPid ?? details.pid),
    isNeeded: ({ details }) => (details.origin?.cliPid ?? details.pid) !== details.pid,
  },
  { heading: "APP PID", cell: ({ details }) => text(details.appPid) },
  {
    heading: "RUN FILE",
    cell: ({ details }) => fromHere(details.origin?.runFile),
    isNeeded: ({ details }) => details.origin?.runFile !== undefined,
  },
  { heading: "COMMAND", cell: ({ details }) => details.command },
];

function toTable(entries: readonly RegistryEntry[], nowMs: number, out: Terminal): string {
  const columns = COLUMNS.filter(({ isNeeded }) => isNeeded === undefined || entries.some(isNeeded));
  const rows = entries.map((entry) => columns.map(({ cell }) => cell(entry, nowMs)));
  const ids = [...new Set<string>(entries.map(({ instance }) => instance.app.id))];
  const paint = (cell: string, row: number, column: number): string => {
    if (row === 0) return out.paint("dim", cell);
    return column === 0 ? out.paintName(cell, ids.indexOf(cell.trimEnd())) : cell;
  };
  return table([columns.map(({ heading }) => heading), ...rows], { columns: out.columns, paint });
}

function text(value: number | undefined): string {
  return value === undefined ? "-" : String(value);
}

const UNITS: readonly [name: string, seconds: number][] = [
  ["d", 86_400],
  ["h", 3600],
  ["m", 60],
  ["s", 1],
];

/** In the largest unit that it fills: `59s`, `2h`. */
export function ageOf(startedAtMs: number, nowMs: number): string {
  const seconds = Math.max(0, Math.floor((nowMs - startedAtMs) / 1000));
  const [name, length] = UNITS.find(([, unit]) => seconds >= unit) ?? ["s", 1];
  return `${Math.floor(seconds / length)}${name}`;
}

/** As it would be typed here, where it lies below. */
function fromHere(file: string | undefined): string {
  if (file === undefined) return "-";
  const path = relative(process.cwd(), file);
  return path === "" || path.startsWith("..") ? file : path;
}

/** Everything but the control token, which opens a door. Those of Dapr's CLI keep its names. */
function toRecord({ instance, details }: RegistryEntry, nowMs: number): Record<string, unknown> {
  const { pid, apiHost, httpPort, grpcPort, httpSocket, grpcSocket, appPort, appPid, command, startedAtMs } = details;
  const { metricsPort, origin } = details;
  const { id: appId, namespace } = instance.app;
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
    metricsPort,
    appPort,
    appPid,
    command,
    startedAt: new Date(startedAtMs).toISOString(),
    age: ageOf(startedAtMs, nowMs),
    created: localTime(startedAtMs),
    daprdPid: pid,
    cliPid: origin?.cliPid ?? pid,
    runTemplatePath: origin?.runFile,
    runTemplateName: origin?.runName,
    appLogPath: origin?.appLog,
    daprdLogPath: origin?.sidecarLog,
  };
}
