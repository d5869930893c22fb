import assert from "node:assert/strict";
import { test } from "node:test";
import { ConcurrencyLimit } from "./concurrency-limit.ts";

const patient = new AbortController().signal;

test("calls beyond the limit wait, and get their turn in the order they came", async () => {
  const limit = new ConcurrencyLimit(2);
  const log: string[] = [];
  const enter = async (name: string): Promise<() => void> => {
    const release = await limit.acquire(patient);
    log.push(name);
    return release;
  };
  const [releaseA, releaseB] = await Promise.all([enter("a"), enter("b")]);
  const [c, d] = [enter("c"), enter("d")];
  await microtasks();
  assert.deepEqual(log, ["a", "b"]);
  releaseB();
  const releaseC = await c;
  assert.deepEqual(log, ["a", "b", "c"]);
  releaseA();
  releaseC();
  (await d)();
  assert.equal(await freeSlots(limit), 2);
});

test("a slot that is given back passes to who waits: nobody slips in between", async () => {
  const limit = new ConcurrencyLimit(1);
  const release = await limit.acquire(patient);
  const log: string[] = [];
  const waiting = limit.acquire(patient).then((releaseWaiting) => {
    log.push("waiting");
    return releaseWaiting;
  });
  release();
  // In the same turn, when whoever waits has not been told yet.
  const late = limit.acquire(patient).then((releaseLate) => {
    log.push("late");
    return releaseLate;
  });
  await microtasks();
  assert.deepEqual(log, ["waiting"]);
  assert.equal(await freeSlots(limit), 0);
  (await waiting)();
  (await late)();
  assert.deepEqual(log, ["waiting", "late"]);
  assert.equal(await freeSlots(limit), 1);
});

for (const max of [0, -1]) {
  test(`a limit of ${max} is none`, async () => {
    const limit = new ConcurrencyLimit(max);
    const releases = await Promise.all(Array.from({ length: 1000 }, () => limit.acquire(patient)));
    for (const release of releases) release();
    await limit.acquire(patient);
  });
}

test("giving a slot back twice gives back one", async () => {
  const limit = new ConcurrencyLimit(2);
  const release = await limit.acquire(patient);
  await limit.acquire(patient);
  assert.equal(await freeSlots(limit), 0);
  release();
  release();
  assert.equal(await freeSlots(limit), 1);
});

test("giving a slot back twice admits one of those who wait", async () => {
  const limit = new ConcurrencyLimit(1);
  const release = await limit.acquire(patient);
  const admitted: string[] = [];
  for (const name of ["a", "b"]) void limit.acquire(patient).then(() => admitted.push(name));
  release();
  release();
  await microtasks();
  assert.deepEqual(admitted, ["a"]);
});

test("a caller that goes away leaves the queue, and those behind it move up", async () => {
  const limit = new ConcurrencyLimit(1);
  const release = await limit.acquire(patient);
  const leaver = new AbortController();
  const leaving = limit.acquire(leaver.signal);
  const staying = limit.acquire(patient);
  leaver.abort(new Error("gone"));
  await assert.rejects(leaving, new Error("gone"));
  release();
  (await staying)();
  assert.equal(await freeSlots(limit), 1);
});

test("a caller that has gone before it would have to wait is turned away", async () => {
  const limit = new ConcurrencyLimit(1);
  const release = await limit.acquire(patient);
  await assert.rejects(limit.acquire(AbortSignal.abort(new Error("gone"))), new Error("gone"));
  release();
  assert.equal(await freeSlots(limit), 1);
});

test("a caller that goes away after its turn keeps its slot until it gives it back, and those behind it their place", async () => {
  const limit = new ConcurrencyLimit(1);
  const caller = new AbortController();
  const first = await limit.acquire(patient);
  const second = limit.acquire(caller.signal);
  let thirdIn = false;
  const third = limit.acquire(patient).then((release) => {
    thirdIn = true;
    return release;
  });
  first();
  const release = await second;
  caller.abort();
  await microtasks();
  assert.equal(thirdIn, false);
  assert.equal(await freeSlots(limit), 0);
  release();
  (await third)();
  assert.equal(await freeSlots(limit), 1);
});

/** How many calls would be admitted at once: they are, until one would have to wait, and leave again. */
async function freeSlots(limit: ConcurrencyLimit): Promise<number> {
  const wouldNotWait = AbortSignal.abort();
  const releases: (() => void)[] = [];
  try {
    while (releases.length < 100) releases.push(await limit.acquire(wouldNotWait));
  } catch (error) {
    assert.equal(error, wouldNotWait.reason);
  }
  for (const release of releases) release();
  return releases.length;
}

/** Everything that does not wait for something outside has happened. */
async function microtasks(): Promise<void> {
  await new Promise(setImmediate);
}
