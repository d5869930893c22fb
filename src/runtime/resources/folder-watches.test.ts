import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { FolderWatch, type WatchTiming } from "./folder-watch.ts";
import { FolderWatches } from "./folder-watches.ts";

const silent = (): void => undefined;
const log = { debug: silent, info: silent, warn: silent, error: silent };
const NEVER = 2 ** 30;

function temporary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-test-"));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

/** Each call of `told` waits for the next time that the watch tells. */
function watchOf(t: TestContext, folder: string, timing: Partial<WatchTiming>) {
  const events = new EventTarget();
  const watch = new FolderWatch(folder, log, { settleMs: 1, comesBackMs: 5, rescanMs: NEVER, ...timing });
  watch.add(() => events.dispatchEvent(new Event("told")));
  t.after(() => {
    watch.close();
  });
  return { told: () => once(events, "told") };
}

test("a file that is written is told of", async (t) => {
  const folder = temporary(t);
  const { told } = watchOf(t, folder, {});
  await told();
  const next = told();
  writeFileSync(join(folder, "a.yaml"), "a");
  await next;
});

test("a folder that is not there yet is told of when it is", async (t) => {
  const folder = join(temporary(t), "later");
  const { told } = watchOf(t, folder, {});
  const next = told();
  mkdirSync(folder);
  await next;
});

test("what is told by nobody is looked at all the same, again and again", async (t) => {
  const { told } = watchOf(t, temporary(t), { rescanMs: 5, settleMs: NEVER });
  for (let i = 0; i < 3; i++) await told();
});

test("several who watch one folder are each told, until they leave", async (t) => {
  const folder = temporary(t);
  const watches = new FolderWatches(log);
  const events = new EventTarget();
  const listen = (name: string) => watches.listen([folder], () => events.dispatchEvent(new Event(name)));
  const begun = Promise.all([once(events, "a"), once(events, "b")]);
  const [leaveA, leaveB] = [listen("a"), listen("b")];
  await begun;
  leaveA();
  let toldA = 0;
  events.addEventListener("a", () => toldA++);
  const next = once(events, "b");
  writeFileSync(join(folder, "a.yaml"), "a");
  await next;
  leaveB();
  leaveB();
  assert.equal(toldA, 0);
});
