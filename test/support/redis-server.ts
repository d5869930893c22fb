import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { Redis, type RedisOptions } from "ioredis";
import type { TestScope } from "./cleanup.ts";
import { ownPort } from "./own-port.ts";
import { folderWith } from "./processes.ts";
import { waitFor } from "./wait.ts";

export type ClientOptions = Pick<RedisOptions, "username" | "password" | "tls" | "db">;

/** A redis-server of the test's own. `npm test` installs it or says that it is missing. */
export interface RedisServer {
  readonly port: number;
  /** `host:port`, for redisHost. */
  readonly host: string;
  /** A plain client, closed with the test. */
  client(options?: ClientOptions): Redis;
  /** Ends it as a power cut would, all but the disk. */
  kill(): Promise<void>;
  /** Stops it where it stands; connections stay open, and nothing is answered. */
  freeze(isFrozen: boolean): void;
  /** On its old port, with what it has on disk. */
  restart(): Promise<void>;
  killAndRestart(): Promise<void>;
}

export interface RedisServerOptions {
  /** It keeps what it has in a file, written at each command or each second; without, in memory alone. */
  readonly appendOnly?: "always" | "everysec";
  /** Beside port and folder. */
  readonly args?: readonly string[];
  /** Of a connection that can ask it whether it is ready. */
  readonly client?: ClientOptions;
  /** It is a sentinel, and the master of this port is its `mymaster`. */
  readonly sentinelOf?: number;
  /** It listens for TLS, and for nothing else. */
  readonly isTls?: boolean;
}

export async function startRedis(t: TestScope, options: RedisServerOptions = {}): Promise<RedisServer> {
  const port = await ownPort();
  const folder = folderWith(t, {});
  const cleanups: (() => unknown)[] = [];
  t.after(async () => {
    for (const cleanup of cleanups) await cleanup();
    await end();
  });
  let child: ChildProcess | undefined;
  const end = async (): Promise<void> => {
    const ending = child;
    child = undefined;
    if (ending?.exitCode !== null || ending.signalCode !== null) return;
    const exited = once(ending, "exit");
    ending.kill("SIGKILL");
    await exited;
  };
  const client = (given: ClientOptions = {}): Redis => {
    const redis = new Redis({ port, host: "127.0.0.1", protocol: 2, ...options.client, ...given });
    // Tests that end it know that it is gone.
    redis.on("error", () => undefined);
    cleanups.push(() => {
      redis.disconnect();
    });
    return redis;
  };
  const sentinelConfig = (master: number): string[] => {
    const config = { "sentinel.conf": `bind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 ${master} 1\n` };
    return [join(folderWith(t, config), "sentinel.conf"), "--sentinel", "--dir", folder];
  };
  const start = async (): Promise<void> => {
    const ports = options.isTls === true ? ["--port", "0", "--tls-port", String(port)] : ["--port", String(port)];
    const plain = ["--bind", "127.0.0.1", "--dir", folder, "--save", "", "--daemonize", "no"];
    const { appendOnly } = options;
    const kept = appendOnly === undefined ? [] : ["--appendonly", "yes", "--appendfsync", appendOnly];
    const own = options.sentinelOf === undefined ? plain : sentinelConfig(options.sentinelOf);
    const started = spawn(program("redis-server"), [...own, ...ports, ...kept, ...(options.args ?? [])]);
    child = started;
    let said = "";
    started.stdout.on("data", (bytes: Buffer) => {
      said += bytes.toString();
    });
    await waitFor("redis-server", () => {
      if (started.exitCode !== null) throw new Error(`redis-server ended:\n${said}`);
      return /Ready to accept connections|\+monitor master/i.test(said);
    });
  };
  await start();
  return {
    port,
    host: `127.0.0.1:${port}`,
    client,
    kill: end,
    freeze: (isFrozen) => child?.kill(isFrozen ? "SIGSTOP" : "SIGCONT"),
    restart: start,
    killAndRestart: async () => {
      await end();
      await start();
    },
  };
}

/** @throws {Error} where it is not installed. */
function program(name: string): string {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/bin", "/usr/sbin"];
  const found = folders.map((folder) => join(folder, name)).find(isExecutable);
  if (found === undefined) throw new Error(`there is no ${name} here; install the package redis-server`);
  return found;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
