import assert from "node:assert/strict";
import { test } from "node:test";
import { abortReason, type CallSignal } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";
import { DEFAULT_SERVICE_RETRIES } from "../resources/built-in-retries.ts";
import { type RetriedWork, RetriesExhausted, runWithRetries } from "./retry-runner.ts";

const patient = new AbortController().signal;
const policy = { ...DEFAULT_SERVICE_RETRIES, maxRetries: 3, durationMs: 1000 };

/** Time that passes as soon as somebody sleeps. */
class SkippingClock implements Clock {
  readonly slept: number[] = [];

  now(): number {
    return this.monotonic();
  }

  monotonic(): number {
    return this.slept.reduce((sum, ms) => sum + ms, 0);
  }

  sleep(ms: number, signal?: CallSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(abortReason(signal));
    this.slept.push(ms);
    return Promise.resolve();
  }
}

/** Fails as often as there are errors, then succeeds. */
function work(errors: readonly Error[], changes: Partial<RetriedWork<string>> = {}) {
  const clock = new SkippingClock();
  let attempts = 0;
  const done = runWithRetries({
    policy,
    random: () => 0.5,
    clock,
    signal: patient,
    attempt: () => {
      const error = errors[attempts++];
      return error === undefined ? Promise.resolve("done") : Promise.reject(error);
    },
    mayRetry: () => true,
    ...changes,
  });
  return { done, clock, attempts: () => attempts };
}

const [first, second, third, fourth] = ["first", "second", "third", "fourth"].map((text) => new Error(text));
assert.ok(first && second && third && fourth);

test("what succeeds is not tried again", async () => {
  const { done, clock, attempts } = work([]);
  assert.equal(await done, "done");
  assert.equal(attempts(), 1);
  assert.deepEqual(clock.slept, []);
});

test("what fails is tried again after the interval, until it succeeds", async () => {
  const { done, clock, attempts } = work([first, second, third]);
  assert.equal(await done, "done");
  assert.equal(attempts(), 4);
  assert.deepEqual(clock.slept, [1000, 1000, 1000]);
});

test("when the tries are used up, the last failure is the cause", async () => {
  const { done, clock, attempts } = work([first, second, third, fourth]);
  await assert.rejects(done, (error) => {
    assert.ok(error instanceof RetriesExhausted);
    assert.equal(error.retries, 3);
    assert.equal(error.cause, fourth);
    return true;
  });
  assert.equal(attempts(), 4);
  assert.deepEqual(clock.slept, [1000, 1000, 1000]);
});

test("what may not be retried fails as it is, however many tries are left", async () => {
  const { done, clock, attempts } = work([first, second], { mayRetry: (error) => error !== second });
  await assert.rejects(done, second);
  assert.equal(attempts(), 2);
  assert.deepEqual(clock.slept, [1000]);
});

test("a caller that goes away between two tries ends the work with its reason", async () => {
  const caller = new AbortController();
  const { done, attempts } = work([first, second], {
    signal: caller.signal,
    mayRetry: () => {
      caller.abort(new Error("gone"));
      return true;
    },
  });
  await assert.rejects(done, new Error("gone"));
  assert.equal(attempts(), 1);
});

test("the built-in policy is daprd's: three retries, one second apart", () => {
  const { policy: kind, maxRetries, durationMs } = DEFAULT_SERVICE_RETRIES;
  assert.deepEqual([kind, maxRetries, durationMs], ["constant", 3, 1000]);
});
