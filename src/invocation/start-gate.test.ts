import assert from "node:assert/strict";
import { test } from "node:test";
import { abortReason, CallAbort, type CallSignal } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";
import { StartGate } from "./start-gate.ts";

const PATIENCE_MS = 10_000;
const patient = new AbortController().signal;

/** Time that passes when the test says so. */
class ManualClock implements Clock {
  readonly sleeping: { readonly ms: number; wake(): void }[] = [];

  now(): number {
    return 0;
  }

  monotonic(): number {
    return 0;
  }

  sleep(ms: number, signal?: CallSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        reject(abortReason(signal));
      };
      if (signal?.aborted === true) leave();
      signal?.addEventListener("abort", { handleEvent: leave });
      this.sleeping.push({ ms, wake: resolve });
    });
  }
}

test("calls wait until the app is there, and then all pass", async () => {
  const clock = new ManualClock();
  const gate = new StartGate(clock, PATIENCE_MS);
  const passed: string[] = [];
  const calls = ["a", "b"].map((name) => gate.pass(patient).then(() => passed.push(name)));
  await new Promise(setImmediate);
  assert.equal(gate.isOpen, false);
  assert.deepEqual(passed, []);
  assert.deepEqual(
    clock.sleeping.map(({ ms }) => ms),
    [PATIENCE_MS, PATIENCE_MS],
  );
  gate.open();
  await Promise.all(calls);
  assert.deepEqual(passed, ["a", "b"]);
});

test("many may wait, which is nothing to warn of", async (t) => {
  const warnings: Error[] = [];
  const keep = (warning: Error): unknown => warnings.push(warning);
  process.on("warning", keep);
  t.after(() => process.off("warning", keep));
  const gate = new StartGate(new ManualClock(), PATIENCE_MS);
  const calls = Array.from({ length: 50 }, () => gate.pass(new CallAbort()));
  await new Promise(setImmediate);
  gate.open();
  await Promise.all(calls);
  assert.deepEqual(warnings, []);
});

test("a gate that has opened holds nobody", async () => {
  const clock = new ManualClock();
  const gate = new StartGate(clock, PATIENCE_MS);
  gate.open();
  gate.open();
  await gate.pass(patient);
  assert.equal(gate.isOpen, true);
  assert.deepEqual(clock.sleeping, []);
});

test("a call that has waited long enough is let through, though the app is not there", async () => {
  const clock = new ManualClock();
  const gate = new StartGate(clock, PATIENCE_MS);
  const passing = gate.pass(patient);
  clock.sleeping[0]?.wake();
  await passing;
  assert.equal(gate.isOpen, false);
});

test("a caller that goes away waits no more", async () => {
  const gate = new StartGate(new ManualClock(), PATIENCE_MS);
  const caller = new AbortController();
  const passing = gate.pass(caller.signal);
  caller.abort(new Error("gone"));
  await assert.rejects(passing, new Error("gone"));
});

for (const patienceMs of [0, -1]) {
  test(`without patience (${patienceMs} ms) the gate is open from the start`, async () => {
    const clock = new ManualClock();
    const gate = new StartGate(clock, patienceMs);
    assert.equal(gate.isOpen, true);
    await gate.pass(patient);
    assert.deepEqual(clock.sleeping, []);
  });
}
