import assert from "node:assert/strict";
import { test } from "node:test";
import { InFlight } from "./in-flight.ts";

test("what has begun and not ended is counted", () => {
  const inFlight = new InFlight();
  assert.equal(inFlight.count, 0);
  const endA = inFlight.begin();
  const endB = inFlight.begin();
  assert.equal(inFlight.count, 2);
  endA();
  assert.equal(inFlight.count, 1);
  endB();
  assert.equal(inFlight.count, 0);
});

test("ending one of several twice ends that one alone", async () => {
  const inFlight = new InFlight();
  const endA = inFlight.begin();
  const endB = inFlight.begin();
  endA();
  endA();
  assert.equal(inFlight.count, 1);
  assert.equal(await isIdle(inFlight), false);
  endB();
  endA();
  assert.equal(inFlight.count, 0);
});

test("where nothing is under way, it is idle at once", async () => {
  await new InFlight().whenIdle();
});

test("idle is when the last one ends, and not before, whoever waits for it", async () => {
  const inFlight = new InFlight();
  const endA = inFlight.begin();
  const endB = inFlight.begin();
  const told: string[] = [];
  const waiting = ["early", "late"].map((name) => inFlight.whenIdle().then(() => told.push(name)));
  endA();
  await microtasks();
  assert.deepEqual(told, []);
  endB();
  await Promise.all(waiting);
  assert.deepEqual(told, ["early", "late"]);
});

test("what begins while somebody waits is waited for too", async () => {
  const inFlight = new InFlight();
  const endA = inFlight.begin();
  let idle = false;
  const waiting = inFlight.whenIdle().then(() => {
    idle = true;
  });
  const endB = inFlight.begin();
  endA();
  await microtasks();
  assert.equal(idle, false);
  endB();
  await waiting;
});

test("it is idle once more after each time that something was under way", async () => {
  const inFlight = new InFlight();
  for (let round = 0; round < 2; round++) {
    const end = inFlight.begin();
    assert.equal(await isIdle(inFlight), false);
    const waiting = inFlight.whenIdle();
    end();
    await waiting;
  }
});

async function isIdle(inFlight: InFlight): Promise<boolean> {
  let idle = false;
  void inFlight.whenIdle().then(() => {
    idle = true;
  });
  await microtasks();
  return idle;
}

/** Everything that does not wait for something outside has happened. */
async function microtasks(): Promise<void> {
  await new Promise(setImmediate);
}
