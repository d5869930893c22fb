import type { AppIdentity } from "../../core/app-id.ts";
import type { Clock } from "../../core/clock.ts";
import type { Logger } from "../../core/logger.ts";

/** One running copy of an app, and where its sidecar takes calls from other sidecars. */
export interface AppInstance {
  readonly app: AppIdentity;
  /** Tells copies of one app apart; unique in time as well, so that it is never mistaken for an earlier one. */
  readonly instanceId: string;
  readonly host: string;
  /** The internal port (`--dapr-internal-grpc-port`). */
  readonly port: number;
  /** How to talk to it: `lean` between two Outriggers. */
  readonly wire: PeerWire;
}

export type PeerWire = "lean";

/** What an instance says of itself beyond what calls need; shown by `outrigger list`. */
export interface InstanceDetails {
  readonly pid: number;
  /** Where a process on this machine reaches the HTTP API: an address, bracketed if need be. */
  readonly apiHost: string;
  /** Undefined where that API is a Unix socket. The same holds for the gRPC API's. */
  readonly httpPort: number | undefined;
  readonly grpcPort: number | undefined;
  /** Paths of Unix sockets, where the APIs are some. */
  readonly httpSocket?: string | undefined;
  readonly grpcSocket?: string | undefined;
  /** Undefined for a sidecar without an app. */
  readonly appPort: number | undefined;
  readonly appPid: number | undefined;
  readonly command: string;
  readonly startedAtMs: number;
  /** How long its calls may go on once it is told to end. */
  readonly gracefulShutdownMs: number;
  /** Undefined where it was started by itself. */
  readonly origin?: RunOrigin | undefined;
  /** Lets the owner of the home directory stop the instance through its API port, whatever the API token is. */
  readonly controlToken: string;
}

/** The run file that an instance came from. */
export interface RunOrigin {
  /** The process that the user started: the instance's own, or with `--isolated` the one that watches over it. */
  readonly cliPid: number;
  /** An absolute path without symbolic links; undefined where it came through standard input. */
  readonly runFile: string | undefined;
  /** As the run file calls itself. */
  readonly runName: string | undefined;
  /** The files with the lines of the app and of its sidecar, where they have some. */
  readonly appLog: string | undefined;
  readonly sidecarLog: string | undefined;
}

/**
 * Finds the running instances of an app (Dapr's building block "name resolution").
 *
 * Creating one does nothing; `start` may fail; `close` may be called twice and after a failed `start`.
 */
export interface NameResolver {
  /** Where this resolver looks, for error texts: "the registry at /home/me/.outrigger/registry". */
  readonly description: string;
  /** For how long callers elsewhere may still be given an instance that has been withdrawn. */
  readonly staleMs: number;
  start(): Promise<void>;
  /** Makes an instance findable until the returned function is called. */
  announce(instance: AppInstance, details: InstanceDetails): Promise<Announcement>;
  /** Every instance believed to be alive; empty where the app is unknown. */
  resolve(app: AppIdentity): Promise<readonly AppInstance[]>;
  /** A call could not reach `instance`: look again before giving it out next time. */
  reportUnreachable(instance: AppInstance): void;
  close(): Promise<void>;
}

export interface Announcement {
  /** Changes what the instance says of itself, for example once its app has a pid. */
  update(details: Partial<InstanceDetails>): Promise<void>;
  withdraw(): Promise<void>;
}

export interface NameResolverContext {
  /** Outrigger's home directory; exists, mode 0700. */
  readonly home: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What a folder under components/nameresolution/ exports, checked there with `satisfies`. */
export interface NameResolverManifest {
  /** As `spec.nameResolution.component` in a Configuration names it. */
  readonly name: string;
  create(context: NameResolverContext): NameResolver;
}

/** A name resolver that can be had: its name costs nothing, its module and what that imports are loaded when it is used. */
export interface NameResolverEntry {
  readonly name: string;
  load(): Promise<NameResolverManifest>;
}
