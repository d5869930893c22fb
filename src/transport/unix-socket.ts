import {
  type BigIntStats,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
} from "node:fs";
import net, { type Server } from "node:net";
import { dirname, join } from "node:path";

/** `sun_path` without the NUL at its end (unix(7)); macOS has less. A longer path would be cut off, and name another file. */
export const MAX_SOCKET_PATH_BYTES = process.platform === "darwin" ? 103 : 107;

// Whoever may write to a socket may call through it: its owner alone. Holds while the socket is made, so that there is no
// moment at which others may.
const UMASK = 0o177;
// Another process may bind the path each time it is found free.
const MAX_TRIES = 5;

/**
 * Binds `server` to a Unix socket that only this user can use. Its directory is made where there is none; a socket that
 * was left behind by a process that has ended is replaced. Node removes the socket when the server closes.
 *
 * @param onError told of errors that come later.
 * @throws {Error} whose message, in words or by its code, says why the path cannot be had.
 */
export async function listenOnSocket(server: Server, path: string, onError: (error: Error) => void): Promise<void> {
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    throw new Error(`its path has ${bytes} bytes, and this system allows ${MAX_SOCKET_PATH_BYTES}`);
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  for (let tries = 1; ; tries++) {
    try {
      await bind(server, path);
      server.on("error", onError);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE" || tries === MAX_TRIES) throw error;
      await removeStale(path);
    }
  }
}

function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    const before = process.umask(UMASK);
    try {
      // Makes the file before it returns.
      server.listen({ path, exclusive: true }, () => {
        server.off("error", reject);
        resolve();
      });
    } finally {
      process.umask(before);
    }
  });
}

/** @throws {Error} where what is there is no socket, or somebody listens on it. */
async function removeStale(path: string): Promise<void> {
  const found = statOf(path);
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error("there is a file of that name that is no socket");
  if (await isListenedOn(path)) throw new Error(heldBy(path));
  // Another process may have done the same meanwhile and have bound the path: then this takes away what is in use, and
  // puts it back at once. The name is never longer than the path, which may be as long as it can.
  const aside = join(dirname(path), `.${process.pid}.${asides++}`);
  try {
    renameSync(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  const taken = statOf(aside);
  // The numbers of inodes are used again; a rename does not touch the time.
  if (taken?.ino !== found.ino || taken.mtimeNs !== found.mtimeNs) linkBack(aside, path);
  rmSync(aside, { force: true });
}

let asides = 0;

function statOf(path: string): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}

function linkBack(aside: string, path: string): void {
  try {
    linkSync(aside, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

/** True also where it cannot be told: what may be in use is not removed. */
function isListenedOn(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ path });
    const settle = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => {
      settle(true);
    });
    socket.once("error", ({ code }: NodeJS.ErrnoException) => {
      settle(code !== "ECONNREFUSED" && code !== "ENOENT");
    });
  });
}

function heldBy(path: string): string {
  const pid = listenerOn(path);
  if (pid === undefined) return "another process listens on it";
  return `process ${pid} (${textOf(`/proc/${pid}/comm`).trim()}) listens on it`;
}

/** The process that listens on `path`; undefined where the kernel does not tell this user (proc(5), proc_net_unix(5)). */
function listenerOn(path: string): string | undefined {
  for (const line of textOf("/proc/net/unix").split("\n")) {
    const [, , , flags, , , inode, ...name] = line.trim().split(/ +/);
    // __SO_ACCEPTCON: the one that listens, not one of its connections.
    if (flags !== "00010000" || name.join(" ") !== path) continue;
    const pid = namesIn("/proc").find((entry) => /^\d+$/.test(entry) && hasOpen(entry, `socket:[${inode ?? ""}]`));
    if (pid !== undefined) return pid;
  }
  return undefined;
}

function hasOpen(pid: string, file: string): boolean {
  const folder = `/proc/${pid}/fd`;
  return namesIn(folder).some((fd) => linkOf(join(folder, fd)) === file);
}

// What is looked at may be gone a moment later, or another user's.

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function linkOf(file: string): string | undefined {
  try {
    return readlinkSync(file);
  } catch {
    return undefined;
  }
}
