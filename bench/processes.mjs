// Starting, ending and reading processes. All that start here end here, by their ids.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

// Linux counts a process's CPU time in ticks of 10 ms, whatever its own clock does (man 5 proc, USER_HZ).
const TICK_US = 10_000;
const END_MS = 3000;
const OUTPUT_KEPT = 2000;

const running = new Set();
// Begun anywhere, so that two runs at once do not ask for the same ones.
let nextPort = 20_000 + Math.floor(Math.random() * 12_000);
// Whatever way this process ends, nothing is left behind.
process.on("exit", () => {
  for (const pid of [...running].flatMap((one) => one.pids)) killNow(pid);
});

/** A process that was started here, with the last it said. */
export class Running {
  #child;
  #output = "";

  /** @param {{ cwd?: string, env?: NodeJS.ProcessEnv, ipc?: boolean }} options */
  constructor(program, args, { cwd, env, ipc = false } = {}) {
    const stdio = ipc ? ["ignore", "pipe", "pipe", "ipc"] : ["ignore", "pipe", "pipe"];
    this.#child = spawn(program, args, { cwd, env, stdio });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.on("data", (chunk) => {
        this.#output = (this.#output + chunk).slice(-OUTPUT_KEPT);
      });
    }
    this.#child.on("error", (error) => {
      this.#output += error.message;
    });
    // Told something when it has ended already; whoever waits for its answer learns that by itself.
    this.#child.on("disconnect", () => undefined);
    running.add(this);
    this.#child.on("close", () => running.delete(this));
  }

  get pid() {
    return this.#child.pid;
  }

  /** Its own id and those of the processes it started, as nginx starts its workers. */
  get pids() {
    return [this.pid, ...childrenOf(this.pid)];
  }

  get output() {
    return this.#output.trim();
  }

  get hasEnded() {
    return this.#child.exitCode !== null || this.#child.signalCode !== null || this.pid === undefined;
  }

  tell(message) {
    this.#child.send(message);
  }

  /** @returns {Promise<any>} its next message; fails where it ends instead, or says nothing for `ms`. */
  async said(ms) {
    const waiting = new AbortController();
    const { signal } = waiting;
    try {
      return await Promise.race([
        once(this.#child, "message", { signal }).then(([message]) => message),
        once(this.#child, "close", { signal }).then(() => {
          throw new Error(`a process ended: ${this.output}`);
        }),
        sleep(ms, undefined, { signal }).then(() => {
          throw new Error(`nothing came of it within ${ms / 1000} s`);
        }),
      ]);
    } finally {
      waiting.abort();
    }
  }

  async end(signal = "SIGTERM") {
    if (this.hasEnded) return;
    const pids = this.pids;
    const closed = once(this.#child, "close");
    this.#child.kill(signal);
    await Promise.race([closed, sleep(END_MS, undefined, { ref: false })]);
    if (this.hasEnded) return;
    for (const pid of pids) killNow(pid);
    await closed;
  }
}

/** Resolves once the port takes a connection, or whatever `isReady` asks of it. */
export async function ready(one, isReady) {
  for (let tries = 0; tries < 1500; tries++) {
    if (one.hasEnded) throw new Error(`it ended at its start: ${one.output}`);
    if (await isReady()) return;
    await sleep(10);
  }
  throw new Error(`it was not ready after 15 s: ${one.output}`);
}

/** Ports nobody listens on, below those that Linux gives to outgoing connections, which could take one at any time. */
export async function freePorts(count) {
  const ports = [];
  for (let tries = 0; ports.length < count; tries++) {
    if (tries > 1000) throw new Error("no free ports between 20000 and 32000");
    nextPort = nextPort < 32_000 ? nextPort + 1 : 20_000;
    if (await isFree(nextPort)) ports.push(nextPort);
  }
  return ports;
}

async function isFree(port) {
  const server = createServer();
  try {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    await once(server.close(), "close");
    return true;
  } catch {
    return false;
  }
}

/** CPU time, user and system, that the processes have taken so far. */
export function cpuUs(pids) {
  const ticks = pids.map((pid) => {
    const fields = statOf(pid);
    return Number(fields[11]) + Number(fields[12]);
  });
  return ticks.reduce((sum, one) => sum + one, 0) * TICK_US;
}

/** @returns {{ rss: number, anon: number }} bytes; `anon` is what only this process has, without files it maps. */
export function memoryOf(pid) {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const bytes = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)[1]) * 1024;
  return { rss: bytes("VmRSS"), anon: bytes("RssAnon") };
}

function childrenOf(pid) {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return all.map(Number).filter((candidate) => {
    try {
      return Number(statOf(candidate)[1]) === pid;
    } catch {
      return false; // It ended while the list was read.
    }
  });
}

/** The fields after the program's name, which may hold anything: state, parent, … */
function statOf(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function killNow(pid) {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended already.
  }
}
