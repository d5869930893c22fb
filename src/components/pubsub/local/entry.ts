import { type ChildProcess, spawn } from "node:child_process";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

/**
 * `worker-main` is a program of its own: a thread or a child process that runs it loads nothing else of Outrigger. From the
 * sources it is run by tsx, which does not follow into threads by itself; in dist/ it is an entry of the bundle
 * (scripts/build.mjs).
 */
const IS_SOURCE = import.meta.url.endsWith(".ts");
const ENTRY = new URL(IS_SOURCE ? "./worker-main.ts" : "../pubsub-local/worker-main.js", import.meta.url);

export function startThread(workerData: unknown): Worker {
  if (!IS_SOURCE) return new Worker(ENTRY, { workerData, execArgv: [] });
  const code = `import("tsx/esm/api").then(({ register }) => { register(); return import(${JSON.stringify(ENTRY.href)}); });`;
  return new Worker(code, { workerData, execArgv: [], eval: true });
}

/** Its standard output is a pipe; what it says on standard error goes nowhere. */
export function startChild(args: readonly string[]): ChildProcess {
  const file = fileURLToPath(ENTRY);
  const how = IS_SOURCE ? ["--import", "tsx"] : [];
  return spawn(process.execPath, [...how, file, ...args], {
    // Where tsx is found.
    cwd: dirname(file),
    stdio: ["ignore", "pipe", "ignore"],
  });
}
