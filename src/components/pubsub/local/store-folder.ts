import { randomUUID } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { Clock } from "../../../core/clock.ts";
import type { Processes, ProcessIdentity } from "../../contract/processes.ts";

/**
 * The folder of one store:
 *
 *     log/                events, topics, groups: what is durable
 *     groups-<boot id>/   who works on what; of no use after the machine has started anew
 *     processes/          a file for each process that has the store open; they wake each other through these
 *     opening             whose turn it is to open the store
 */

// A process in another container cannot be asked whether it lives; its file's time says when it last did.
const UNSEEN_IS_DEAD_MS = 5 * 60_000;
const BETWEEN_TRIES_MS = 20;
const TRIES_IN_SILENCE = 100;
const STEAL_IS_STALE_MS = 5000;
const LONGEST_NAME = 200;

/** @throws {Error} for a name that cannot be a folder's. */
export function storePath(home: string, component: string): string {
  const name = encodeURIComponent(component).replace(/^\.+$/, (dots) => "%2E".repeat(dots.length));
  if (name === "" || name.length > LONGEST_NAME) {
    throw new Error(`the name of the component cannot be a folder's: give it one of 1 to ${LONGEST_NAME} characters`);
  }
  return join(home, "pubsub", name);
}

export class StoreFolder {
  readonly path: string;
  readonly #processes: Processes;
  readonly #clock: Clock;

  constructor(path: string, processes: Processes, clock: Clock) {
    this.path = path;
    this.#processes = processes;
    this.#clock = clock;
  }

  get log(): string {
    return join(this.path, "log");
  }

  get groups(): string {
    return join(this.path, `groups-${bootId()}`);
  }

  get processFiles(): string {
    return join(this.path, "processes");
  }

  create(): void {
    mkdirSync(this.processFiles, { recursive: true, mode: 0o700 });
  }

  /** What was made in it is there after a power cut, too. */
  sync(): void {
    for (const path of [this.log, this.path, dirname(this.path), dirname(dirname(this.path))]) {
      const folder = openSync(path, "r");
      try {
        fsyncSync(folder);
      } finally {
        closeSync(folder);
      }
    }
  }

  /** Nobody else opens the store meanwhile. @param onWaiting told the file that says who, once, where it takes somebody else a while. */
  async whileOpening<Result>(work: () => Promise<Result>, onWaiting: (lock: string) => void): Promise<Result> {
    const lock = join(this.path, "opening");
    const text = JSON.stringify(this.#processes.own);
    for (let tries = 0; !createOnce(lock, text); tries++) {
      this.#stealFromDead(lock);
      if (tries === TRIES_IN_SILENCE) onWaiting(lock);
      await this.#clock.sleep(BETWEEN_TRIES_MS);
    }
    try {
      return await work();
    } finally {
      rmSync(lock, { force: true });
    }
  }

  /** Whether another process, or another part of this one, has the store open. Files of those that have ended are removed. */
  isInUse(): boolean {
    let isInUse = false;
    for (const name of readdirSync(this.processFiles)) {
      const file = join(this.processFiles, name);
      if (this.#mayBeOpenBy(file)) isInUse = true;
      else rmSync(file, { force: true });
    }
    return isInUse;
  }

  /** @returns the name of the file that says so. */
  register(): string {
    const { own } = this.#processes;
    const name = `${own.pid}-${randomUUID()}`;
    const temporary = join(this.path, `${name}.tmp`);
    try {
      writeFileSync(temporary, `${JSON.stringify(own)}\n`, { mode: 0o600 });
      renameSync(temporary, join(this.processFiles, name));
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
    return name;
  }

  unregister(name: string): void {
    rmSync(join(this.processFiles, name), { force: true });
  }

  /** What earlier starts of the machine have left, and processes that ended while they opened it. Only while nobody has the store open. */
  removeLeftovers(): void {
    for (const name of readdirSync(this.path)) {
      const path = join(this.path, name);
      const isLeft = name.endsWith(".tmp") || (name.startsWith("groups-") && path !== this.groups);
      if (isLeft) rmSync(path, { recursive: true, force: true });
    }
  }

  #mayBeOpenBy(file: string): boolean {
    try {
      return this.#mayBeAlive(file);
    } catch {
      return false;
    }
  }

  /** @param file names a process. @throws where it is gone, or is not written yet. */
  #mayBeAlive(file: string): boolean {
    const process = processIn(readFileSync(file));
    if (process.pidNamespace === this.#processes.own.pidNamespace) return this.#processes.mayBeAlive(process);
    return statSync(file).mtimeMs > Date.now() - UNSEEN_IS_DEAD_MS;
  }

  /** Two may find the holder dead at once; the second must not take the lock from the first. */
  #stealFromDead(lock: string): void {
    const isDead = (): boolean => {
      try {
        return !this.#mayBeAlive(lock);
      } catch {
        // Given back just now, or being written.
        return (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Infinity) < Date.now() - STEAL_IS_STALE_MS;
      }
    };
    if (!isDead()) return;
    const steal = `${lock}.steal`;
    if (!createOnce(steal, "")) {
      const age = Date.now() - (statSync(steal, { throwIfNoEntry: false })?.mtimeMs ?? Infinity);
      if (age > STEAL_IS_STALE_MS) rmSync(steal, { force: true });
      return;
    }
    try {
      if (isDead()) unlinkSync(lock);
    } finally {
      rmSync(steal, { force: true });
    }
  }
}

function processIn(file: Buffer): ProcessIdentity {
  const [first = ""] = file.toString().split("\n", 1);
  return JSON.parse(first) as ProcessIdentity;
}

function createOnce(file: string, text: string): boolean {
  let made: number;
  try {
    made = openSync(file, "wx", 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
  try {
    writeFileSync(made, text);
    return true;
  } catch (error) {
    // A full disk takes a file and nothing in it, which nobody could tell from one that is being written.
    rmSync(file, { force: true });
    throw error;
  } finally {
    closeSync(made);
  }
}

/** Another one after each start of the machine. Where there is none to be had, every store is one of the same start. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "unknown";
  }
}
