import assert from "node:assert/strict";
import { test } from "node:test";
import { InFlight } from "./in-flight.ts";

test("what has begun and not ended is counted", () => {
  const inFlight = new InFlight();
  assert.equal(inFlight.count, 0);
  inFlight.enter();
  inFlight.enter();
  assert.equal(inFlight.count, 2);
  inFlight.leave();
  assert.equal(inFlight.count, 1);
  inFlight.leave();
  assert.equal(inFlight.count, 0);
});

test("where nothing is under way, it is idle at once", async () => {
  await new InFlight().whenIdle();
});

test("idle is when the last one ends, and not before, whoever waits for it", async () => {
  const inFlight = new InFlight();
  inFlight.enter();
  inFlight.enter();
  const told: string[] = [];
  const waiting = ["early", "late"].map((name) => inFlight.whenIdle().then(() => told.push(name)));
  inFlight.leave();
  await microtasks();
  assert.deepEqual(told, []);
  inFlight.leave();
  await Promise.all(waiting);
  assert.deepEqual(told, ["early", "late"]);
});

test("what begins while somebody waits is waited for too", async () => {
  const inFlight = new InFlight();
  inFlight.enter();
  let idle = false;
  const waiting = inFlight.whenIdle().then(() => {
    idle = true;
  });
  inFlight.enter();
  inFlight.leave();
  await microtasks();
  assert.equal(idle, false);
  inFlight.leave();
  await waiting;
});

test("it is idle once more after each time that something was under way", async () => {
  const inFlight = new InFlight();
  for (let round = 0; round < 2; round++) {
    inFlight.enter();
    assert.equal(await isIdle(inFlight), false);
    const waiting = inFlight.whenIdle();
    inFlight.leave();
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
