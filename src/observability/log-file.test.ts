import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createReadStream, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { waitFor } from "../../test/support/wait.ts";
import { LogFile, type LogFileOptions } from "./log-file.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-test-"));
after(() => {
  rmSync(folder, { recursive: true });
});

const NEVER: LogFileOptions = {
  onFailure: (error) => {
    throw error;
  },
  instead: (text) => {
    throw new Error(`not written: ${text}`);
  },
};

test("lines stand in the file in their order, without colours, for its owner alone", async () => {
  const path = join(folder, "ordered.log");
  const file = await LogFile.create(path, NEVER);
  const lines = Array.from({ length: 5000 }, (_, i) => `line ${i} ü💧\n`);
  for (const line of lines) void file.write(line);
  void file.write("\x1b[31mred\x1b[0m and plain\n");
  await file.close();
  assert.equal(readFileSync(path, "utf8"), `${lines.join("")}red and plain\n`);
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test("a file that is there already is not written over", async () => {
  const path = join(folder, "once.log");
  await (await LogFile.create(path, NEVER)).close();
  await assert.rejects(LogFile.create(path, NEVER), { code: "EEXIST" });
});

test("a source that can wait is told to while much waits to be written, and no longer", async () => {
  const path = join(folder, "paced.log");
  const file = await LogFile.create(path, NEVER);
  assert.equal(file.write("small\n"), undefined);
  const pace = file.write(`${"x".repeat(300 * 1024)}\n`);
  assert.ok(pace);
  await pace;
  assert.equal(statSync(path).size, 300 * 1024 + 1 + "small\n".length);
  assert.equal(file.write("small\n"), undefined);
  await file.close();
});

test("what a full disk does not take is told once, and given back in order, none of it lost", async () => {
  const failures: string[] = [];
  const given: string[] = [];
  // Every write to it fails with ENOSPC.
  const file = new LogFile("/dev/full", await open("/dev/full", "w"), {
    onFailure: (error) => failures.push((error as NodeJS.ErrnoException).code ?? ""),
    instead: (text) => {
      given.push(text);
      return Promise.resolve();
    },
  });
  const lines = Array.from({ length: 100 }, (_, i) => `${i}\n`);
  for (const line of lines) void file.write(line);
  await file.close();
  assert.deepEqual([failures, given], [["ENOSPC"], lines]);
  await file.write("later\n");
  assert.equal(given.at(-1), "later\n");
});

test("a source waits as long as the disk does, and memory holds no more than it gave until then", async () => {
  const path = join(folder, "stalled.fifo");
  execFileSync("mkfifo", [path]);
  // Takes what a pipe takes, then nothing until somebody reads.
  const file = new LogFile(path, await open(path, "r+"), NEVER);
  const line = `${"x".repeat(1023)}\n`;
  let given = 0;
  let pace: Promise<void> | undefined;
  while (pace === undefined) {
    pace = file.write(line);
    given += line.length;
  }
  assert.ok(given <= 512 * 1024, `${given} bytes`);
  const reader = createReadStream(path);
  let read = "";
  reader.on("data", (chunk: Buffer | string) => {
    read += chunk.toString();
    if (read.length === given) reader.destroy();
  });
  await pace;
  await file.close();
  await waitFor("all that was given", () => read.length === given);
  assert.equal(read, line.repeat(given / line.length));
});
