import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { localManifest } from "../../src/components/pubsub/local/manifest.ts";
import { metadataWith } from "../support/component-metadata.ts";
import { bundledProgram, Program } from "../support/local-broker-program.ts";
import { pubSubContext } from "../support/pubsub-context.ts";
import { anEvent, Seen, textOf } from "../support/pubsub-world.ts";
import { smallDisk } from "../support/small-disk.ts";
import { waitFor } from "../support/wait.ts";

const IS_ROOT = process.getuid?.() === 0;

function freshFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-limits-"));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

test("a full disk is told to publishers, and what was taken before it is handed out once there is room", async (t) => {
  const home = smallDisk(t, "size=6m");
  if (home === undefined) {
    t.skip("no file system could be made");
    return;
  }
  const filler = join(home, "filler");
  writeFileSync(filler, Buffer.alloc(1024 ** 2));
  const context = pubSubContext(t, { home });
  const broker = localManifest.create(context);
  t.after(() => broker.close());
  await broker.init(await metadataWith({}));
  const taken: string[] = [];
  let refusal: Error | undefined;
  for (let at = 0; refusal === undefined && at < 1000; at++) {
    const text = `${at} `.padEnd(20_000, "x");
    await broker.publish(anEvent("orders", text)).then(
      () => taken.push(text),
      (error: unknown) => (refusal = error as Error),
    );
  }
  assert.match(
    refusal?.message ?? "",
    /^the event could not be written to the store at .*: .*the disk is full.*make room/,
  );
  assert.ok(taken.length > 50);
  const seen = new Seen({ topic: "orders" });
  const subscribing = broker.subscribe(seen.options).catch((error: unknown) => error as Error);
  rmSync(filler);
  const first = await subscribing;
  if (first instanceof Error) {
    assert.match(first.message, /the disk is full/);
    await broker.subscribe(seen.options);
  }
  await broker.publish(anEvent("orders", "there is room again"));
  await seen.until("all that was taken, and the last", () => seen.distinct.size > taken.length);
  const got = new Set(seen.events.map(textOf));
  assert.ok([...taken, "there is room again"].every((text) => got.has(text)));
  await broker.close();
});

test("a disk that is full while events are handed out is told, and they go on once there is room", async (t) => {
  const home = smallDisk(t, "size=4m");
  if (home === undefined) {
    t.skip("no file system could be made");
    return;
  }
  const context = pubSubContext(t, { home });
  const broker = localManifest.create(context);
  t.after(() => broker.close());
  await broker.init(await metadataWith({}));
  const seen = new Seen({ topic: "orders" });
  await broker.publishBulk(
    "orders",
    Array.from({ length: 500 }, (_, at) => anEvent("orders", `${at}`)),
  );
  const filler = join(home, "filler");
  const subscribing = broker.subscribe(seen.options);
  await subscribing;
  spawnSync("dd", ["if=/dev/zero", `of=${filler}`, "bs=4096"]);
  await waitFor(
    "a word about it, or all of them",
    () => seen.distinct.size === 500 || context.log.texts("error").length > 0,
  );
  rmSync(filler);
  await seen.until("all of them", () => seen.distinct.size === 500);
  await broker.close();
});

test("a store that a full disk keeps from being begun leaves nothing behind, and is begun once there is room", async (t) => {
  const home = smallDisk(t, "size=256k");
  if (home === undefined) {
    t.skip("no file system could be made");
    return;
  }
  const filler = join(home, "filler");
  spawnSync("dd", ["if=/dev/zero", `of=${filler}`, "bs=4096"]);
  const broker = localManifest.create(pubSubContext(t, { home }));
  t.after(() => broker.close());
  await broker.init(await metadataWith({}));
  for (let at = 0; at < 5; at++) await assert.rejects(broker.publish(anEvent("orders", "x")), /the disk is full/);
  const left = readdirSync(join(home, "pubsub/events"), { recursive: true, encoding: "utf8" });
  assert.deepEqual(
    left.filter((name) => !/^(?:processes|log|groups-[^/]*)(?:$|\/(?:data|lock)\.mdb$)/.test(name)),
    [],
  );
  rmSync(filler);
  await broker.publish(anEvent("orders", "there is room now"));
});

test("a directory that cannot be written to is told at the start, with what to do", async (t) => {
  const home = smallDisk(t, "size=1m") ?? freshFolder(t);
  const store = join(home, "pubsub", "events");
  mkdirSync(store, { recursive: true });
  const isMadeReadOnly = IS_ROOT
    ? spawnSync("mount", ["-o", "remount,ro", home]).status === 0
    : (chmodSync(store, 0o500), true);
  if (!isMadeReadOnly) {
    t.skip("nothing could be made read-only");
    return;
  }
  const broker = localManifest.create(pubSubContext(t, { home }));
  const refusal = (error: Error): boolean =>
    error.message.includes(store) && error.message.includes("let this user write to");
  await assert.rejects(async () => broker.init(await metadataWith({})), refusal);
  await broker.close();
});

test("a map that is too small grows in every process that has the store open", async (t) => {
  const home = freshFolder(t);
  const program = await bundledProgram(t);
  const small = `${256 * 1024}`;
  const run = (role: string, name: string): Program =>
    new Program(t, [process.execPath, program, home, role, "orders", name, "4", "50000", small]);
  const subscriber = run("subscribe", "group");
  const publishers = [run("publish", "a"), run("publish", "b")];
  const linesOf = (programs: readonly Program[], what: string): string[] =>
    programs.flatMap(({ lines }) =>
      lines.flatMap((line) => (line.startsWith(`${what} `) ? [line.slice(what.length + 1)] : [])),
    );
  await waitFor("20 MB of each", () => publishers.every((one) => linesOf([one], "took").length > 400));
  await Promise.all(publishers.map((one) => one.stop()));
  const got = (): Set<string> => new Set(linesOf([subscriber], "got"));
  await waitFor("all", () => linesOf(publishers, "took").every((text) => got().has(text)));
  assert.ok(statSync(join(home, "pubsub/events/log/data.mdb")).size > 40e6);
  assert.deepEqual(linesOf([...publishers, subscriber], "failed"), []);
  await subscriber.stop();
});

test("an event is handed out in another process as soon as it is safe, and not with the next look", async (t) => {
  const home = freshFolder(t);
  const program = await bundledProgram(t);
  const context = pubSubContext(t, { home });
  const broker = localManifest.create(context);
  t.after(() => broker.close());
  await broker.init(await metadataWith({}));
  const seen = new Seen({ topic: "orders" });
  await broker.subscribe(seen.options);
  const publisher = new Program(t, [process.execPath, program, home, "publish", "orders", "x", "1"]);
  const from = Date.now();
  await waitFor("a hundred, one after the other", () => seen.events.length >= 100);
  // With looks alone, ten a second.
  assert.ok(Date.now() - from < 30_000);
  assert.ok(seen.events.map(textOf).every((text) => text.startsWith("x-")));
  await publisher.stop();
});
