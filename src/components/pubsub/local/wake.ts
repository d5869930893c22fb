import { type FSWatcher, watch } from "node:fs";

/**
 * How processes wake each other without asking all the time: each has a file in one folder, writes a byte to it when others
 * may have something to do, and watches the folder (inotify). A wake that is lost costs a second: then everybody looks anyhow.
 */

/** Where the byte is written: behind what the file says of its process. */
export const WAKE_OFFSET = 2048;

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
