import { lookup } from "node:dns/promises";
import { isIP, isIPv4 } from "node:net";
import { SetupError } from "../core/errors.ts";
import { type ApiPlace, socketPath } from "./api-place.ts";
import { ListenError, SocketListenError } from "./listen-error.ts";
import type { SidecarSettings } from "./sidecar-settings.ts";
import { stableInternalPort } from "./stable-port.ts";

/** What listens: an HttpListener, a GrpcServer. */
interface Door {
  listen(host: string, port: number): Promise<number>;
  listenOnSocket(path: string): Promise<void>;
}

/** What a Sidecar listens with. */
interface Doors {
  readonly api: Door;
  readonly grpc: Door;
  readonly peer: Door;
  /** Undefined where there is no public port. */
  readonly public: Door | undefined;
  /** Undefined where nothing is counted. */
  readonly metrics: Door | undefined;
}

type PortSettings = Pick<
  SidecarSettings,
  | "app"
  | "appPort"
  | "httpPort"
  | "grpcPort"
  | "internalPort"
  | "publicPort"
  | "listenAddresses"
  | "internalListenAddress"
  | "publicListenAddress"
  | "socketFolder"
  | "metrics"
>;

export interface SidecarPorts {
  readonly http: ApiPlace;
  readonly grpc: ApiPlace;
  readonly internal: number;
  /** Undefined where there is none. */
  readonly public: number | undefined;
  readonly metrics: number | undefined;
}

/** Chance has chosen a port that will not do: another try will. The message is for when it never does. */
export class UnluckyPort extends SetupError {
  override readonly name = "UnluckyPort";
}

/**
 * Binds every port and socket that `settings` ask for.
 *
 * @param appPorts of all apps of the process: no port that is chosen freely may be one of them.
 * @throws {SetupError} naming what cannot be had, or {@link UnluckyPort}. What was bound until then stays so.
 */
export async function bindPorts(
  settings: PortSettings,
  doors: Doors,
  appPorts: ReadonlySet<number>,
): Promise<SidecarPorts> {
  refuseClashes(settings);
  const apis =
    settings.socketFolder === undefined ? await bindApis(settings, doors) : await bindSockets(settings, doors);
  const internal = await bindInternal(settings, doors.peer, appPorts);
  const ports = {
    ...apis,
    internal,
    public: await bindPublic(settings, doors.public),
    metrics: await bindMetrics(settings, doors.metrics),
  };
  refuseChosenClashes(settings, ports, appPorts);
  return ports;
}

/** Two of its own doors on one port, or, as in daprd, the app on one: then the sidecar would call itself for ever (A6). */
function refuseClashes(settings: PortSettings): void {
  const { appPort, publicPort, httpPort, grpcPort, internalPort, socketFolder, metrics } = settings;
  const flags = Object.entries({
    ...(socketFolder === undefined ? { "--dapr-http-port": httpPort, "--dapr-grpc-port": grpcPort } : {}),
    "--dapr-internal-grpc-port": internalPort,
  });
  const further = [
    ["--dapr-public-port", publicPort],
    ["--metrics-port", metrics?.port === 0 ? undefined : metrics?.port],
  ] as const;
  for (const [at, [flag, port]] of further.entries()) {
    const twin = [...flags, ...further.slice(0, at)].find(([, other]) => other === port);
    if (port === undefined || twin === undefined) continue;
    throw new SetupError(`${flag} and ${twin[0]} are both ${port}; give each its own`);
  }
  const ofApp = [...flags, ...further].find(([, port]) => port === appPort);
  if (appPort !== undefined && ofApp !== undefined) {
    throw new SetupError(
      `--app-port and ${ofApp[0]} are both ${appPort}; the app and its sidecar need different ports`,
    );
  }
}

function refuseChosenClashes(settings: PortSettings, ports: SidecarPorts, appPorts: ReadonlySet<number>): void {
  const { httpPort, grpcPort, internalPort, publicPort, metrics } = settings;
  const asked = new Set<ApiPlace | undefined>([httpPort, grpcPort, internalPort, publicPort, metrics?.port]);
  const chosen = Object.values(ports).filter((port) => typeof port === "number" && !asked.has(port)) as number[];
  const clash = chosen.find((port) => appPorts.has(port));
  if (clash !== undefined) throw new UnluckyPort(`the free port ${clash} is that of an app`);
}

async function bindApis(settings: PortSettings, doors: Doors): Promise<{ http: number; grpc: number }> {
  const { httpPort, grpcPort } = settings;
  const hosts = await distinctAddresses(settings.listenAddresses);
  const bind = (what: string, flag: string, port: number, door: Door): Promise<number> =>
    bindAll({ purpose: `${what} of ${settings.app.id}`, flag }, hosts, port, door);
  const http = await bind("HTTP API", "--dapr-http-port", httpPort, doors.api);
  return { http, grpc: await bind("gRPC API", "--dapr-grpc-port", grpcPort, doors.grpc) };
}

async function bindSockets(settings: PortSettings, doors: Doors): Promise<{ http: string; grpc: string }> {
  const { app, socketFolder = "" } = settings;
  const bind = async (api: "http" | "grpc", purpose: string, door: Door): Promise<string> => {
    const path = socketPath(socketFolder, app.id, api);
    try {
      await door.listenOnSocket(path);
    } catch (cause) {
      throw new SocketListenError({ purpose: `${purpose} of ${app.id}`, path }, cause);
    }
    return path;
  };
  return { http: await bind("http", "HTTP API", doors.api), grpc: await bind("grpc", "gRPC API", doors.grpc) };
}

/** A port of its own choice is the same on every start where it is free, as daprd's is; else any. */
async function bindInternal(settings: PortSettings, door: Door, appPorts: ReadonlySet<number>): Promise<number> {
  const { app, internalListenAddress, internalPort, publicPort } = settings;
  const what = { purpose: `internal port of ${app.id}`, flag: "--dapr-internal-grpc-port" };
  const bind = (port: number): Promise<number> => bindAll(what, [internalListenAddress], port, door);
  const preferred = stableInternalPort(app);
  const isTaken = appPorts.has(preferred) || publicPort === preferred;
  if (internalPort !== 0 || isTaken) return bind(internalPort);
  try {
    return await bind(preferred);
  } catch {
    return bind(0);
  }
}

async function bindPublic(settings: PortSettings, door: Door | undefined): Promise<number | undefined> {
  const { app, publicPort, publicListenAddress } = settings;
  if (door === undefined || publicPort === undefined) return undefined;
  const what = { purpose: `public port of ${app.id}`, flag: "--dapr-public-port" };
  return bindAll(what, [publicListenAddress], publicPort, door);
}

async function bindMetrics({ app, metrics }: PortSettings, door: Door | undefined): Promise<number | undefined> {
  if (door === undefined || metrics === undefined) return undefined;
  return bindAll(
    { purpose: `metrics of ${app.id}`, flag: "--metrics-port" },
    [metrics.listenAddress],
    metrics.port,
    door,
  );
}

async function bindAll(
  what: { readonly purpose: string; readonly flag: string },
  hosts: readonly string[],
  port: number,
  door: Door,
): Promise<number> {
  // A free port is chosen with the first address and asked for on the others.
  let bound = port;
  for (const host of hosts) {
    try {
      bound = await door.listen(host, bound);
    } catch (cause) {
      const error = new ListenError({ ...what, host, port: bound }, cause);
      const isChosen = port === 0 && bound !== 0;
      if (isChosen && (cause as NodeJS.ErrnoException).code === "EADDRINUSE") {
        throw new UnluckyPort(error.message, { cause });
      }
      throw error;
    }
  }
  return bound;
}

/**
 * Without what would be bound twice: the same address under two names, or one that an unspecified address stands for.
 * Names that lead nowhere are kept, for whoever binds them to say so.
 */
export async function distinctAddresses(hosts: readonly string[]): Promise<readonly string[]> {
  const addresses = await Promise.all(hosts.map(addressOf));
  return hosts.filter((_, index) => {
    const address = addresses[index] ?? "";
    if (addresses.indexOf(address) !== index) return false;
    // Node binds `::` for both families.
    if (addresses.includes("::")) return address === "::" || isIP(address) === 0;
    return address === "0.0.0.0" || !isIPv4(address) || !addresses.includes("0.0.0.0");
  });
}

/** As listening would look it up. */
async function addressOf(host: string): Promise<string> {
  try {
    return (await lookup(host)).address;
  } catch {
    return host;
  }
}
