import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { bundledProgram, Program } from "../support/local-broker-program.ts";
import { waitFor } from "../support/wait.ts";

const HAS_STRACE = spawnSync("strace", ["-V"]).status === 0;
const EVENTS = 30;

test("no event is said to be safe before its bytes and the head that leads to them are on disk, as the system calls show", {
  skip: HAS_STRACE ? false : "strace is not installed",
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-sync-"));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const program = await bundledProgram(t);
  const trace = join(folder, "trace");
  const calls = "trace=openat,fdatasync,fsync,msync,pwrite64,pwritev,write,writev";
  const strace = ["strace", "-f", "-y", "-s", "16", "-e", calls, "-o", trace];
  const publisher = new Program(t, [...strace, process.execPath, program, folder, "publish", "orders", "x", "1"]);
  await waitFor("events", () => publisher.lines.filter((line) => line.startsWith("took")).length >= EVENTS);
  await publisher.stop();
  checkOrder(readFileSync(trace, "utf8").split("\n"));
});

/** One publisher, one event at a time: between two answers there is the whole way to the disk, in its order. */
function checkOrder(lines: readonly string[]): void {
  const store = /(\w+)\((\d+)<[^>]*\/log\/data\.mdb>/;
  const syncing = new Set<string>();
  let isWritten = false;
  let isSynced = false;
  let isHeadWritten = false;
  let answers = 0;
  // Opened so that a write returns once it is on disk.
  const syncedDescriptors = new Set(
    lines.flatMap((line) => /log\/data\.mdb", [^)]*O_D?SYNC[^)]*\) = (\d+)</.exec(line)?.[1] ?? []),
  );
  assert.ok(syncedDescriptors.size > 0, "LMDB writes its heads through a descriptor with O_DSYNC");
  for (const line of lines) {
    const [thread = ""] = line.split(" ", 1);
    const [, call, descriptor = ""] = store.exec(line) ?? [];
    const isOver = !line.includes("<unfinished");
    if (call === "fdatasync") {
      if (isOver) isSynced = isWritten;
      else syncing.add(thread);
    } else if (line.includes("<... fdatasync resumed>") && syncing.delete(thread)) {
      isSynced = isWritten;
    } else if (call?.includes("write") === true) {
      if (syncedDescriptors.has(descriptor)) isHeadWritten = isSynced;
      else [isWritten, isSynced, isHeadWritten] = [true, false, false];
    } else if (/write\(1<.*"took /.test(line)) {
      assert.deepEqual(
        { isWritten, isSynced, isHeadWritten },
        { isWritten: true, isSynced: true, isHeadWritten: true },
      );
      [isWritten, isSynced, isHeadWritten] = [false, false, false];
      answers += 1;
    }
  }
  assert.ok(answers >= EVENTS, `${answers} answers were seen`);
}
