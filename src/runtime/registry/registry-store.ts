import { mkdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { RootDatabase } from "lmdb";
import type { AppInstance } from "../../components/contract/name-resolver.ts";
import type { ProcessIdentity } from "../../components/contract/processes.ts";
import type { AppIdentity } from "../../core/app-id.ts";
import { SetupError } from "../../core/errors.ts";
import { mayBeAlive } from "./process-identity.ts";
import { setAsideDamaged } from "./registry-file.ts";

/**
 * The registry of one home directory: which sidecars run, on disk, shared by every process of the user. LMDB takes
 * care of several processes writing at once and of one that dies while it writes.
 */

/** What an instance says of itself beyond what calls need; shown by `outrigger list`. */
export interface InstanceDetails {
  readonly pid: number;
  /** Where a process on this machine reaches the HTTP API: an address, bracketed if need be. */
  readonly apiHost: string;
  /** Undefined where that API is a Unix socket. The same holds for the gRPC API's. */
  readonly httpPort: number | undefined;
  readonly grpcPort: number | undefined;
  /** Undefined where nothing is counted. */
  readonly metricsPort?: number | undefined;
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

export interface RegistryEntry {
  readonly instance: AppInstance;
  readonly details: InstanceDetails;
  readonly process: ProcessIdentity;
  /** Milliseconds since the epoch; after it, the entry counts for nothing. */
  readonly leaseUntilMs: number;
}

/** Ordered so that the instances of one app stand together. */
type Key = [namespace: string, appId: string, instanceId: string];

// Required, not imported: lmdb's CommonJS form is one file and loads 15 ms sooner than its many modules.
const { open } = createRequire(import.meta.url)("lmdb") as typeof import("lmdb");

// A thousand instances fit into one; address space, not memory.
const MAP_BYTES = 64 * 1024 * 1024;
// One reader slot for each process that has the registry open.
const MAX_READERS = 1024;

export function registryPathIn(home: string): string {
  return join(home, "registry");
}

export class RegistryStore {
  readonly #db: RootDatabase<RegistryEntry, Key>;
  readonly #file: string;
  /** Of the file that is open, whatever bears its name by now. */
  readonly #inode: number | undefined;

  /**
   * A damaged registry is moved aside, which `warn` is told, and a new one begun: it holds nothing but leases.
   *
   * @throws {SetupError} naming the path, where the registry cannot be opened.
   */
  constructor(path: string, warn: (message: string) => void) {
    this.#file = join(path, "data.mdb");
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 });
      const damaged = setAsideDamaged(path);
      if (damaged !== undefined) {
        warn(
          `the registry at ${path} is damaged (${damaged.damage}); it was moved to ${damaged.path}, and a new one begun`,
        );
      }
      this.#db = open<RegistryEntry, Key>({ path, mapSize: MAP_BYTES, maxReaders: MAX_READERS });
      this.#inode = inodeOf(this.#file);
    } catch (cause) {
      throw new SetupError(
        `cannot open the registry at ${path}: ${(cause as Error).message}; check that the directory is writable, or set OUTRIGGER_HOME to another one`,
        { cause },
      );
    }
  }

  /** Somebody has moved the file aside, or removed it: what is written here is read by nobody else. */
  get isAbandoned(): boolean {
    return inodeOf(this.#file) !== this.#inode;
  }

  async put(entries: readonly RegistryEntry[]): Promise<void> {
    await this.#db.transaction(() => {
      for (const entry of entries) void this.#db.put(keyOf(entry.instance), entry);
    });
  }

  async remove(instance: AppInstance): Promise<void> {
    await this.#db.remove(keyOf(instance));
  }

  /** The entries of one app whose lease runs and whose process has not ended. */
  instancesOf(app: AppIdentity, nowMs: number): RegistryEntry[] {
    const prefix = [app.namespace, app.id] as unknown as Key;
    const entries: RegistryEntry[] = [];
    for (const { key, value } of this.#db.getRange({ start: prefix })) {
      if (key[0] !== app.namespace || key[1] !== app.id) break;
      if (isLive(value, nowMs)) entries.push(value);
    }
    return entries;
  }

  /** Every live entry, by namespace and app id. */
  all(nowMs: number): RegistryEntry[] {
    return [...this.#db.getRange()].map(({ value }) => value).filter((entry) => isLive(entry, nowMs));
  }

  /** Removes the entries of processes that ended without doing so, and what LMDB keeps for them. */
  async sweep(nowMs: number): Promise<void> {
    // A reader that was killed holds on to all pages there were at its time, and the file grows with every renewal.
    this.#db.readerCheck();
    const dead = [...this.#db.getRange()].filter(({ value }) => !isLive(value, nowMs));
    if (dead.length === 0) return;
    await this.#db.transaction(() => {
      for (const { key } of dead) {
        // Looked at again inside the transaction: its owner may have renewed it in the meantime.
        const current = this.#db.get(key);
        if (current !== undefined && !isLive(current, nowMs)) void this.#db.remove(key);
      }
    });
  }

  async close(): Promise<void> {
    await this.#db.close();
  }
}

function inodeOf(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.ino;
}

function keyOf(instance: AppInstance): Key {
  return [instance.app.namespace, instance.app.id, instance.instanceId];
}

function isLive(entry: RegistryEntry, nowMs: number): boolean {
  return entry.leaseUntilMs > nowMs && mayBeAlive(entry.process);
}
