import { type Stats, statSync } from "node:fs";
import { type FSWatcher, watch } from "chokidar";
import { messageOf } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";

/** Notices that something in a folder may have changed. What has, is for who is told to find out. */
export class FolderWatch {
  readonly #folder: string;
  readonly #log: Logger;
  readonly #listeners = new Set<() => void>();
  readonly #timing: WatchTiming;
  readonly #rescan: NodeJS.Timeout;
  #watcher: FSWatcher | undefined;
  /** Of the folder that is watched; undefined where there is none. */
  #identity: string | undefined;
  #settling: NodeJS.Timeout | undefined;
  #comesBack: NodeJS.Timeout | undefined;
  #hasFailed = false;

  constructor(folder: string, log: Logger, timing: WatchTiming = TIMING) {
    this.#folder = folder;
    this.#log = log;
    this.#timing = timing;
    // Network file systems tell nothing, and a machine has only so many watches.
    this.#rescan = setInterval(() => {
      this.#tell();
    }, timing.rescanMs).unref();
    this.#begin();
  }

  get isUsed(): boolean {
    return this.#listeners.size > 0;
  }

  add(listener: () => void): void {
    this.#listeners.add(listener);
  }

  remove(listener: () => void): void {
    this.#listeners.delete(listener);
  }

  close(): void {
    clearInterval(this.#rescan);
    clearTimeout(this.#settling);
    clearTimeout(this.#comesBack);
    this.#end();
  }

  #begin(): void {
    this.#end();
    this.#identity = identityOf(this.#folder);
    if (this.#identity === undefined) {
      this.#waitForFolder();
      return;
    }
    const watcher = watch(this.#folder, { depth: 0, ignoreInitial: true });
    const changed = (): void => {
      this.#changed();
    };
    watcher.on("all", changed);
    // Also what it does not show as a change of a file, such as the symbolic link that Kubernetes swaps (`..data`).
    watcher.on("raw", changed);
    watcher.on("ready", changed);
    watcher.on("error", (error) => {
      if (this.#hasFailed) return;
      this.#hasFailed = true;
      const seconds = this.#timing.rescanMs / 1000;
      this.#log.warn(`changes in ${this.#folder} are noticed only every ${seconds} seconds: ${messageOf(error)}`);
    });
    this.#watcher = watcher;
  }

  #end(): void {
    const watcher = this.#watcher;
    this.#watcher = undefined;
    watcher?.removeAllListeners();
    // Else an error that comes late would end the process.
    watcher?.on("error", () => undefined);
    void watcher?.close();
  }

  /** Editors write in several steps. */
  #changed(): void {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => {
      this.#tell();
    }, this.#timing.settleMs);
  }

  #tell(): void {
    // Another folder in its place, or none, which the watch would never tell of.
    if (identityOf(this.#folder) !== this.#identity) this.#begin();
    for (const listener of this.#listeners) listener();
  }

  #waitForFolder(): void {
    this.#comesBack = setTimeout(() => {
      if (identityOf(this.#folder) === undefined) this.#waitForFolder();
      else this.#tell();
    }, this.#timing.comesBackMs).unref();
  }
}

export interface WatchTiming {
  /** Without a further change, until it is told. */
  readonly settleMs: number;
  /** Between two looks at a folder that is not there. */
  readonly comesBackMs: number;
  /** Between two looks at one that tells of its changes. */
  readonly rescanMs: number;
}

const TIMING: WatchTiming = { settleMs: 100, comesBackMs: 1000, rescanMs: 30_000 };

function identityOf(folder: string): string | undefined {
  let stats: Stats | undefined;
  try {
    stats = statSync(folder, { throwIfNoEntry: false });
  } catch {
    // Not to be looked at: as good as none.
    return undefined;
  }
  return stats?.isDirectory() === true ? `${stats.dev} ${stats.ino}` : undefined;
}
