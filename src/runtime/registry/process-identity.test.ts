import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { Writable } from "node:stream";
import { type TestContext, test } from "node:test";
import { identityOf, mayBeAlive } from "./process-identity.ts";

test("this process is alive", () => {
  assert.equal(mayBeAlive(identityOf(process.pid)), true);
});

test("the identity of a process does not change while it runs", () => {
  assert.deepEqual(identityOf(process.pid), identityOf(process.pid));
});

test("a process that has ended is dead, however it ended", async (t) => {
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    const child = sleeper(t);
    const identity = identityOf(child.pid ?? 0);
    assert.equal(mayBeAlive(identity), true);
    child.kill(signal);
    await once(child, "exit");
    assert.equal(mayBeAlive(identity), false);
  }
});

test("a process that has ended is dead, although its parent has not noticed", async (t) => {
  // The shell starts a child, and becomes a program that never asks after it.
  const script = "cat <&3 & echo $!; exec 3<&-; exec sleep 600";
  const parent = spawn("/bin/sh", ["-c", script], { stdio: ["ignore", "pipe", "inherit", "pipe"] });
  t.after(() => parent.kill("SIGKILL"));
  assert.ok(parent.stdout);
  const [line] = (await once(parent.stdout, "data")) as [Buffer];
  const identity = identityOf(Number(line));
  assert.equal(mayBeAlive(identity), true);
  (parent.stdio[3] as Writable).end();
  while (!readFileSync(`/proc/${identity.pid}/stat`, "utf8").includes(") Z ")) await new Promise(setImmediate);
  assert.equal(mayBeAlive(identity), false);
});

test("a process whose name holds spaces and parentheses has a start time as any other", async (t) => {
  const script = 'process.title = "a ) S 1 (b"; process.stdout.write("ready"); process.stdin.resume()';
  const child = spawn(process.execPath, ["-e", script], { stdio: ["pipe", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  await once(child.stdout, "data");
  const identity = identityOf(child.pid ?? 0);
  assert.match(identity.startTime, /^\d+$/);
  assert.ok(Number(identity.startTime) >= Number(identityOf(process.pid).startTime));
});

test("another process with the same pid is not the one that was", () => {
  assert.equal(mayBeAlive({ ...identityOf(process.pid), startTime: "1" }), false);
});

test("a process in another pid namespace is out of sight, so it may be alive", () => {
  assert.equal(mayBeAlive({ pid: 999_999_999, startTime: "1", pidNamespace: "pid:[1]" }), true);
});

test("without a start time a pid must do", async (t) => {
  const child = sleeper(t);
  const identity = { ...identityOf(child.pid ?? 0), startTime: "" };
  assert.equal(mayBeAlive(identity), true);
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.equal(mayBeAlive(identity), false);
});

function sleeper(t: TestContext) {
  const child = spawn("sleep", ["600"], { stdio: "ignore" });
  t.after(() => child.kill("SIGKILL"));
  return child;
}
