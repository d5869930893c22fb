import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { metadataWith } from "../../../../test/support/component-metadata.ts";
import { freshHome } from "../../../../test/support/outrigger.ts";
import { pubSubContext, TEST_PROCESSES, type TestPubSubContext } from "../../../../test/support/pubsub-context.ts";
import { anEvent, Gate, Seen, type SeenOptions, textOf } from "../../../../test/support/pubsub-world.ts";
import { waitFor } from "../../../../test/support/wait.ts";
import { systemClock } from "../../../runtime/system-clock.ts";
import type { PubSub } from "../../contract/pubsub.ts";
import { EventLog } from "./event-log.ts";
import { GroupState } from "./group-state.ts";
import { eventKey, groupKey } from "./keys.ts";
import { openEnvironment, openTable } from "./lmdb.ts";
import { LocalStore, type LocalStoreParts } from "./local-store.ts";
import { localManifest } from "./manifest.ts";
import { walk } from "./page-walk.ts";
import { encodeRecord } from "./record.ts";
import { scan } from "./scan-process.ts";
import { StoreFolder, storePath } from "./store-folder.ts";
import { Writer } from "./writer.ts";

interface Opened {
  readonly broker: PubSub;
  readonly context: TestPubSubContext;
  readonly folder: StoreFolder;
}

interface HowOpened {
  readonly fields?: Readonly<Record<string, string>>;
  readonly parts?: Partial<LocalStoreParts>;
}

async function opened(t: TestContext, home: string, { fields = {}, parts }: HowOpened = {}): Promise<Opened> {
  const context = pubSubContext(t, { home });
  const folder = folderIn(home);
  if (parts !== undefined) {
    const { clock, log, processes } = context;
    await context.shared.borrow(`pubsub.local ${folder.path}`, () =>
      LocalStore.open({ folder, clock, log, processes, ...parts }),
    );
  }
  const broker = localManifest.create(context);
  t.after(() => broker.close());
  await broker.init(await metadataWith(fields));
  return { broker, context, folder };
}

function folderIn(home: string): StoreFolder {
  return new StoreFolder(storePath(home, "events"), TEST_PROCESSES, systemClock);
}

async function subscribed(broker: PubSub, options: SeenOptions): Promise<Seen> {
  const seen = new Seen(options);
  seen.subscription = await broker.subscribe(seen.options);
  return seen;
}

async function published(broker: PubSub, topic: string, texts: readonly string[]): Promise<void> {
  assert.deepEqual(
    await broker.publishBulk(
      topic,
      texts.map((text) => anEvent(topic, text)),
    ),
    [],
  );
}

/** A store with these events, that nobody has open. */
async function closedStore(t: TestContext, texts: readonly string[]): Promise<{ home: string; data: string }> {
  const home = freshHome(t);
  const { broker, folder } = await opened(t, home);
  await published(broker, "orders", texts);
  await broker.close();
  return { home, data: join(folder.log, "data.mdb") };
}

const TEXTS = Array.from({ length: 60 }, (_, at) => `${at} `.padEnd(at % 10 === 0 ? 9000 : 200, "x"));

test("a store that was cut short is refused, with where it is and what to do", async (t) => {
  const { home, data } = await closedStore(t, TEXTS);
  truncateSync(data, Math.floor(readFileSync(data).length / 2));
  const { broker, folder } = await opened(t, home);
  const refusal = (error: Error): boolean =>
    error.message.includes(folder.path) && error.message.includes("is damaged (") && error.message.includes('"mv ');
  await assert.rejects(broker.publish(anEvent("orders", "x")), refusal);
  await assert.rejects(subscribed(broker, { topic: "orders" }), refusal);
  rmSync(folder.path, { recursive: true });
  await broker.publish(anEvent("orders", "a new one is begun"));
});

test("an event that is damaged is told and not handed out, and the others are", async (t) => {
  const { home, data } = await closedStore(t, ["one", "two, which suffers", "three"]);
  const bytes = readFileSync(data);
  for (let at = bytes.indexOf("suffers"); at !== -1; at = bytes.indexOf("suffers", at)) bytes.write("SUFFERS", at);
  writeFileSync(data, bytes);
  const { broker, context } = await opened(t, home);
  const seen = await subscribed(broker, { topic: "orders" });
  await seen.texts("the others", ["one", "three"]);
  const errors = context.log.texts("error").join("\n");
  assert.match(errors, /damaged event was found.*"topic":"orders","event":"2"/);
  assert.deepEqual(
    (await broker.browser?.list("orders", 10, undefined))?.map(({ id }) => id),
    ["1", "3"],
  );
});

test("an event whose damage is seen only when it is read does not hold up the rest", async (t) => {
  const home = freshHome(t);
  const { broker, context, folder } = await opened(t, home);
  await published(broker, "orders", ["one", "two", "three"]);
  const environment = openEnvironment({ path: folder.log, mapBytes: 1024 ** 2, isDurable: true });
  const events = openTable(environment, "events");
  const log = new EventLog(folder.log);
  const key = eventKey(log.topic("orders")?.id ?? 0, 2);
  environment.transactionSync(() => {
    events.putSync(key, Buffer.from("nonsense that is long enough"));
  });
  const seen = await subscribed(broker, { topic: "orders" });
  await published(broker, "orders", ["four"]);
  await seen.texts("the others", ["one", "three", "four"]);
  assert.match(context.log.texts("error").join("\n"), /an event is damaged.*"event":"2"/);
  await log.close();
  await environment.close();
});

test("whatever bit of a closed store is flipped: it is reported, or every event is as it was", async (t) => {
  const { data } = await closedStore(t, TEXTS);
  const whole = readFileSync(data);
  const rows = (): string[] =>
    [...walk(data)].map(({ table, key, value }) => `${table} ${key.toString("hex")} ${value.toString("hex")}`);
  const before = rows();
  const folder = join(data, "..");
  let reported = 0;
  for (let flip = 0; flip < 400; flip++) {
    const bytes = Buffer.from(whole);
    const at = Math.floor(Math.random() * bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (flip % 8));
    writeFileSync(data, bytes);
    const lines = [...scan(folder, "")];
    if (lines.some(({ kind }) => kind !== "over")) reported += 1;
    else assert.deepEqual(rows(), before, `bit ${flip % 8} of byte ${at}`);
  }
  assert.ok(reported > 100, `${reported} of 400 were reported`);
});

test("an event with a topic that cannot be is refused, and those that are published beside it are not", async (t) => {
  const { broker } = await opened(t, freshHome(t));
  const results = await Promise.allSettled(
    ["orders", "x".repeat(1001), "", "orders"].map((topic) => broker.publish(anEvent(topic, "one"))),
  );
  assert.deepEqual(
    results.map(({ status }) => status),
    ["fulfilled", "rejected", "rejected", "fulfilled"],
  );
});

test("a writer whose thread could not live begins another one, whose answers count", async (t) => {
  const folder = folderIn(freshHome(t));
  folder.create();
  const log = new EventLog(folder.log);
  t.after(() => log.close());
  const wakeFile = join(folder.path, "wake");
  const writer = new Writer({ log: folder.log, mapBytes: undefined, wakeFile }, () => undefined);
  t.after(() => writer.close());
  const append = async (): Promise<void> => {
    await writer.append({ topic: "orders", record: encodeRecord(anEvent("orders", "one"), 1) });
  };
  await assert.rejects(append(), /ENOENT/);
  // The first thread is still on its way out.
  writeFileSync(wakeFile, "");
  for (let at = 0; at < 20; at++) await append();
});

test("a session may run out while nothing depends on it, and nobody is warned", async (t) => {
  const home = freshHome(t);
  const idle = await opened(t, home, { parts: { leaseMs: 1000 } });
  const seen = await subscribed(idle.broker, { topic: "orders", group: "idle" });
  await published(idle.broker, "orders", ["one"]);
  await seen.texts("the first", ["one"]);
  const other = await opened(t, home);
  await subscribed(other.broker, { topic: "payments", group: "other" });
  const groups = new GroupState(idle.folder.groups);
  t.after(() => groups.close());
  await waitFor("the other one to end the session", () => {
    groups.refresh();
    return groups.sessions().size === 0;
  });
  await published(idle.broker, "orders", ["two"]);
  await seen.texts("the second", ["one", "two"]);
  assert.deepEqual(idle.context.log.texts("warn"), []);
});

test("a broker that is closed while somebody else opens the store is closed at once, and so is what waited", async (t) => {
  const home = freshHome(t);
  const folder = folderIn(home);
  folder.create();
  writeFileSync(join(folder.path, "opening"), JSON.stringify(TEST_PROCESSES.own));
  const { broker } = await opened(t, home);
  const waiting = [broker.publish(anEvent("orders", "x")), subscribed(broker, { topic: "orders" })];
  const failed = Promise.all(waiting.map((one) => assert.rejects(one, /pubsub.local is closed/)));
  await broker.close();
  await failed;
  rmSync(join(folder.path, "opening"));
});

test("what the groups were doing may be lost with the machine: they go on where they were last known to be", async (t) => {
  const home = freshHome(t);
  const { broker, folder } = await opened(t, home);
  const seen = await subscribed(broker, { topic: "orders" });
  await published(broker, "orders", ["one", "two"]);
  await seen.texts("both", ["one", "two"]);
  await broker.close();
  rmSync(folder.groups, { recursive: true });
  const { broker: next } = await opened(t, home);
  await published(next, "orders", ["three"]);
  const after = await subscribed(next, { topic: "orders" });
  await after.texts("only the new one", ["three"]);
});

test("groups of an earlier start of the machine are removed, and damaged ones forgotten", async (t) => {
  const { home, data } = await closedStore(t, ["one"]);
  const store = join(data, "../..");
  const current = readdirSync(store).find((name) => name.startsWith("groups-")) ?? "";
  writeFileSync(join(store, current, "data.mdb"), "nonsense");
  const old = join(store, "groups-00000000");
  writeFileSync(old, "");
  const { broker, context } = await opened(t, home);
  const seen = await subscribed(broker, { topic: "orders" });
  await seen.texts("the event", ["one"]);
  assert.equal(existsSync(old), false);
  assert.match(context.log.texts("warn").join("\n"), /what the groups have done last is damaged/);
});

test("events that are older than the retention are removed", async (t) => {
  const { broker } = await opened(t, freshHome(t), { fields: { retention: "1s" } });
  await published(broker, "orders", ["old"]);
  const listed = async (): Promise<number> => (await broker.browser?.list("orders", 10, undefined))?.length ?? 0;
  assert.equal(await listed(), 1);
  while ((await listed()) > 0) await sleep(50);
});

test("of more than retentionBytes the oldest events are removed", async (t) => {
  const { broker } = await opened(t, freshHome(t), { fields: { retentionBytes: "5000" } });
  await published(
    broker,
    "orders",
    Array.from({ length: 20 }, (_, at) => `${at}`.padEnd(1000)),
  );
  const listed = async (): Promise<string[]> =>
    ((await broker.browser?.list("orders", 30, undefined)) ?? []).map(({ id }) => id);
  while ((await listed()).length > 4) await sleep(50);
  assert.deepEqual(await listed(), ["17", "18", "19", "20"]);
});

test("at concurrency 1 the group takes one event after the other, in both of its members, and one that fails holds up the rest", async (t) => {
  const home = freshHome(t);
  const fields = { concurrency: "1" };
  const first = await opened(t, home, { fields });
  const members = [first, await opened(t, home, { fields })];
  let atWork = 0;
  let failures = 0;
  const order: string[] = [];
  const seen = await Promise.all(
    members.map(({ broker }) =>
      subscribed(broker, {
        topic: "orders",
        answer: async (one) => {
          atWork += 1;
          assert.equal(atWork, 1);
          await sleep(1);
          atWork -= 1;
          if (textOf(one) === "5" && failures++ === 0) return "again";
          order.push(textOf(one));
          return "done";
        },
      }),
    ),
  );
  const texts = Array.from({ length: 30 }, (_, at) => `${at}`);
  await published(first.broker, "orders", texts);
  await seen[0]?.until("all", () => order.length === texts.length);
  assert.deepEqual(order, texts);
});

test("what a dead process held, or one that was silent for longer than its lease, is handed out again", async (t) => {
  const home = freshHome(t);
  const { broker, folder } = await opened(t, home);
  const first = await subscribed(broker, { topic: "orders" });
  await first.subscription.close(0);
  await published(broker, "orders", ["held by the dead", "held by the silent", "free"]);
  const groups = new GroupState(folder.groups);
  const group = groupKey(1, 2);
  const dead = { pid: 2 ** 22 + 1, startTime: "1", pidNamespace: TEST_PROCESSES.own.pidNamespace };
  const now = Date.now();
  groups.transact(() => {
    const holders = [
      groups.addSession({ process: dead, leaseUntilMs: now + 60_000 }),
      groups.addSession({ process: TEST_PROCESSES.own, leaseUntilMs: now - 1 }),
    ];
    for (const [at, session] of holders.entries()) {
      const request = { group, session, nowMs: now, max: 1, isOrdered: false, inSameBatch: 0, keyOf: undefined };
      const positionsFrom = (from: number): number[] => [Math.max(from, at + 1)];
      assert.equal(groups.claim({ ...request, positionsFrom }).length, 1);
    }
  });
  const seen = await subscribed(broker, { topic: "orders" });
  await seen.texts("all", ["held by the dead", "held by the silent", "free"]);
  assert.deepEqual(seen.events.map(({ attempt }) => attempt).sort(), [1, 2, 2]);
  await groups.close();
});

test("a handler may take longer than the lease: nobody else gets its event", async (t) => {
  const home = freshHome(t);
  const [holder, other] = [
    await opened(t, home, { parts: { leaseMs: 2000 } }),
    await opened(t, home, { parts: { leaseMs: 2000 } }),
  ];
  const gate = new Gate();
  const holding = await subscribed(holder.broker, {
    topic: "orders",
    answer: async () => {
      await gate.opened;
      return "done" as const;
    },
  });
  await published(holder.broker, "orders", ["slow"]);
  await holding.until("the event", () => holding.events.length === 1);
  const seen = await subscribed(other.broker, { topic: "orders" });
  await sleep(4500);
  assert.deepEqual(seen.events, []);
  gate.open();
  await holding.subscription.close(5000);
  await published(holder.broker, "orders", ["next"]);
  await seen.texts("the next alone", ["next"]);
});

test("a map that is too small grows, while another part of the process has the store open", async (t) => {
  const home = freshHome(t);
  const parts = { mapBytes: 256 * 1024 };
  const [one, two] = [await opened(t, home, { parts }), await opened(t, home, { parts })];
  const seen = await subscribed(two.broker, { topic: "orders" });
  const texts = Array.from({ length: 40 }, (_, at) => `${at} `.padEnd(100_000, "x"));
  for (const text of texts) await one.broker.publish(anEvent("orders", text));
  await seen.until("all", () => seen.distinct.size === texts.length);
});

test("a new group begins where it is told to: at the oldest event that is kept, or with the next one", async (t) => {
  const { broker } = await opened(t, freshHome(t), { fields: { newGroupsStartAt: "latest" } });
  await published(broker, "orders", ["before"]);
  const seen = await subscribed(broker, { topic: "orders" });
  await published(broker, "orders", ["after"]);
  await seen.texts("what came after", ["after"]);
});

for (const [field, value, what] of [
  ["concurrency", "1001", "a whole number from 1 to 1000"],
  ["concurrency", "many", "a whole number from 1 to 1000"],
  ["retention", "a week", "a duration of at least a second"],
  ["retention", "-1h", "a duration of at least a second"],
  ["retentionBytes", "1MB", "a whole number"],
  ["newGroupsStartAt", "now", '"earliest" or "latest"'],
] as const) {
  test(`refused with its place: ${field} ${value}`, async (t) => {
    const broker = localManifest.create(pubSubContext(t));
    const metadata = await metadataWith({ [field]: value });
    await assert.rejects(
      async () => broker.init(metadata),
      (error: Error) => error.message.startsWith(`component.yaml:7: ${field}: "${value}" is not ${what}`),
    );
  });
}

test("each component has a folder of its own, whatever its name", () => {
  assert.equal(storePath("/home", "orders"), "/home/pubsub/orders");
  assert.equal(storePath("/home", ".."), "/home/pubsub/%2E%2E");
  assert.equal(storePath("/home", "a/b"), "/home/pubsub/a%2Fb");
  assert.throws(() => storePath("/home", "x".repeat(300)), /name of the component/);
});
