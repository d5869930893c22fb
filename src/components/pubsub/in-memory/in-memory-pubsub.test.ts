import assert from "node:assert/strict";
import { test } from "node:test";
import { metadataWith } from "../../../../test/support/component-metadata.ts";
import { ManualClock } from "../../../../test/support/manual-clock.ts";
import { RecordingLog } from "../../../../test/support/pubsub-context.ts";
import { testPubSubContract } from "../../../../test/support/pubsub-contract.ts";
import { anEvent } from "../../../../test/support/pubsub-world.ts";
import type { Clock } from "../../../core/clock.ts";
import type { SubscribeOptions, Verdict } from "../../contract/pubsub.ts";
import { type InMemoryParts, InMemoryPubSub } from "./in-memory-pubsub.ts";
import { inMemoryManifest } from "./manifest.ts";

testPubSubContract("in-memory", {
  create: (context) => inMemoryManifest.create(context),
  world: () => Promise.resolve({ fields: {} }),
  has: { durable: false, shared: false, wildcards: true, concurrent: false, counts: true, browses: false },
  unusable: { any: "field" },
});

function parts(clock: Clock = new ManualClock(), log = new RecordingLog()): InMemoryParts {
  return { name: "events", clock, log };
}

interface Slow {
  readonly options: SubscribeOptions;
  /** Lets the handler be done with all that it has and gets. */
  readonly finish: () => void;
  readonly seen: string[];
}

function slow(topic = "t"): Slow {
  const seen: string[] = [];
  let finish = (): void => undefined;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const handle: SubscribeOptions["handle"] = async (events) => {
    seen.push(...events.map(({ data }) => Buffer.from(data).toString()));
    await finished;
    return events.map((): Verdict => "done");
  };
  const options = { topic, group: "g", metadata: new Map(), batch: undefined, keyOf: undefined, handle };
  return { options, finish, seen };
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
}

test("in-memory: a publisher waits while the queue is full, of events or of bytes", async () => {
  for (const limits of [
    { events: 2, bytes: 1000, patienceMs: 1000 },
    { events: 1000, bytes: 2, patienceMs: 1000 },
  ]) {
    const broker = new InMemoryPubSub(parts(), limits);
    const { options, finish, seen } = slow();
    await broker.subscribe(options);
    await broker.publish(anEvent("t", "1"));
    await broker.publish(anEvent("t", "2"));
    let isTaken = false;
    const third = broker.publish(anEvent("t", "3")).then(() => {
      isTaken = true;
    });
    await settled();
    assert.equal(isTaken, false);
    finish();
    await third;
    await settled();
    assert.deepEqual(seen, ["1", "2", "3"]);
    await broker.close();
  }
});

test("in-memory: a queue that stays full is an error that says so, and so is its end", async () => {
  const clock = new ManualClock();
  const broker = new InMemoryPubSub(parts(clock), { events: 1, bytes: 1000, patienceMs: 1000 });
  await broker.subscribe(slow().options);
  await broker.publish(anEvent("t", "1"));
  const second = assert.rejects(broker.publish(anEvent("t", "2")), /full for 1 s: it holds 1 events with 1 bytes/);
  await settled();
  clock.advance(1000);
  await second;
  const third = assert.rejects(broker.publish(anEvent("t", "3")), /closed while the event waited/);
  const bulk = broker.publishBulk("t", [anEvent("t", "4"), anEvent("t", "5")]);
  await settled();
  await broker.close();
  await third;
  assert.deepEqual(
    (await bulk).map(({ index }) => index),
    [0, 1],
  );
});

test("in-memory: what is larger than the whole queue passes by itself", async () => {
  const broker = new InMemoryPubSub(parts(), { events: 10, bytes: 4, patienceMs: 1000 });
  const { options, finish, seen } = slow();
  finish();
  await broker.subscribe(options);
  await broker.publish(anEvent("t", "much too large"));
  await settled();
  assert.deepEqual(seen, ["much too large"]);
  await broker.close();
});

test("in-memory: what nobody subscribes to costs nothing, and what nobody is left to take is let go", async () => {
  const clock = new ManualClock();
  const broker = new InMemoryPubSub(parts(clock), { events: 1, bytes: 10, patienceMs: 1000 });
  for (let at = 0; at < 5; at++) await broker.publish(anEvent("nobody", "x"));
  const subscription = await broker.subscribe(slow().options);
  await broker.publish(anEvent("t", "1"));
  await subscription.close(0);
  await broker.subscribe(slow().options);
  await broker.publish(anEvent("t", "2"));
  await broker.close();
});

test("in-memory: what is lost as nobody is left to take it is counted in the log, once", async () => {
  const log = new RecordingLog();
  const broker = new InMemoryPubSub(parts(new ManualClock(), log));
  const done = slow("orders");
  done.finish();
  const subscriptions = [await broker.subscribe(done.options), await broker.subscribe(slow("bills*").options)];
  for (const topic of ["orders", "bills.a", "bills.b", "bills.c"]) await broker.publish(anEvent(topic, "x"));
  await settled();
  for (let times = 0; times < 2; times++) for (const subscription of subscriptions) await subscription.close(0);
  await broker.close();
  assert.deepEqual(log.texts("warn"), [
    '3 events are lost: nobody is subscribed any more, and pubsub.in-memory keeps nothing {"component":"events","topic":"bills*"}',
  ]);
});

test("in-memory: an event that fails waits 100 ms, then twice as long each time", async () => {
  const clock = new ManualClock();
  const broker = new InMemoryPubSub(parts(clock));
  const attempts: (number | undefined)[] = [];
  await broker.subscribe({
    ...slow().options,
    handle: (events) => {
      attempts.push(...events.map(({ attempt }) => attempt));
      return Promise.resolve(events.map((): Verdict => "again"));
    },
  });
  await broker.publish(anEvent("t", "x"));
  await settled();
  for (const [at, pause] of [100, 200, 400, 800].entries()) {
    clock.advance(pause - 1);
    await settled();
    assert.equal(attempts.length, at + 1);
    clock.advance(1);
    await settled();
    assert.equal(attempts.length, at + 2);
  }
  await broker.close();
});

test("in-memory: it has no fields", async () => {
  const metadata = await metadataWith({ maxEvents: "1" });
  await assert.rejects(async () => new InMemoryPubSub(parts()).init(metadata), /unknown metadata field/);
});
