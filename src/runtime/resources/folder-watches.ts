import { resolve } from "node:path";
import type { Logger } from "../../core/logger.ts";
import { FolderWatch } from "./folder-watch.ts";

/** The folders that a process watches: once each, however many of its Sidecars want to know. */
export class FolderWatches {
  readonly #log: Logger;
  readonly #watches = new Map<string, FolderWatch>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /**
   * @param listener told that something in one of them may have changed, also where nothing has.
   * @returns what ends it.
   */
  listen(folders: readonly string[], listener: () => void): () => void {
    const paths = new Set(folders.map((folder) => resolve(folder)));
    for (const folder of paths) {
      const watch = this.#watches.get(folder) ?? new FolderWatch(folder, this.#log);
      this.#watches.set(folder, watch);
      watch.add(listener);
    }
    return () => {
      for (const folder of paths) this.#leave(folder, listener);
    };
  }

  #leave(folder: string, listener: () => void): void {
    const watch = this.#watches.get(folder);
    watch?.remove(listener);
    if (watch?.isUsed !== false) return;
    watch.close();
    this.#watches.delete(folder);
  }
}
