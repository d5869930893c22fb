import { isMainThread } from "node:worker_threads";

/** A program of its own, see entry.ts: the thread that writes a store, or the child process that looks through one. */
if (isMainThread) {
  const { runScan } = await import("./scan-process.ts");
  runScan(process.argv.slice(2));
} else {
  const { runWriter } = await import("./writer-thread.ts");
  runWriter();
}
