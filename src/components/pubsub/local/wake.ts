import { type FSWatcher, watch, writeSync } from "node:fs";

/**
 * How processes wake each other without asking all the time: each has a file in one folder, writes a byte to it when others
 * may have something to do, and watches the folder (inotify). A wake that is lost costs a second: then everybody looks anyhow.
 */

// Behind what the file says of its process.
const WAKE_OFFSET = 2048;
const ONE_BYTE = Buffer.from("\n");

/** @param file this process's own, open for writing. */
export function wakeOthers(file: number): void {
  try {
    writeSync(file, ONE_BYTE, 0, 1, WAKE_OFFSET);
  } catch {
    // The disk is full: what this is about has been done all the same, and the others look by themselves.
  }
}

/**
 * @param own the name of this process's own file, whose changes are passed over.
 * @param onFailure told once, where watching is not possible or not any more.
 */
export function watchForWakes(
  folder: string,
  own: string,
  onWake: () => void,
  onFailure: (error: Error) => void,
): { close(): void } {
  let watcher: FSWatcher | undefined;
  try {
    watcher = watch(folder, { persistent: false }, (_, name) => {
      if (name !== own) onWake();
    });
    watcher.on("error", onFailure);
  } catch (error) {
    onFailure(error as Error);
  }
  return {
    close: () => {
      watcher?.close();
    },
  };
}
