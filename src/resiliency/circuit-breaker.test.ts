import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../test/support/manual-clock.ts";
import { type BreakerState, CircuitBreaker, CircuitOpen } from "./circuit-breaker.ts";

function breaker(changes: { readonly maxRequests?: number; readonly intervalMs?: number } = {}) {
  const clock = new ManualClock();
  const states: BreakerState[] = [];
  const policy = { maxRequests: 1, intervalMs: 0, timeoutMs: 1000, trips: trips(3), ...changes };
  return { clock, states, breaker: new CircuitBreaker(policy, clock, (to) => states.push(to)) };
}

function trips(failures: number) {
  return ({ consecutiveFailures }: { readonly consecutiveFailures: number }) => consecutiveFailures >= failures;
}

function fail(broken: CircuitBreaker, times = 1): void {
  for (let i = 0; i < times; i++) broken.enter()(false);
}

test("it opens with the failure that its policy names, and lets nothing pass", () => {
  const { breaker: it, states } = breaker();
  fail(it, 2);
  assert.equal(it.state, "closed");
  fail(it);
  assert.equal(it.state, "open");
  assert.throws(() => it.enter(), new CircuitOpen("open"));
  assert.deepEqual(states, ["open"]);
});

test("a success between them makes failures no longer consecutive", () => {
  const { breaker: it } = breaker();
  fail(it, 2);
  it.enter()(true);
  fail(it, 2);
  assert.equal(it.state, "closed");
  assert.deepEqual(it.counts, {
    requests: 5,
    totalSuccesses: 1,
    totalFailures: 4,
    consecutiveSuccesses: 0,
    consecutiveFailures: 2,
  });
});

test("once it has been open for its time it lets one try pass, and closes with its success", () => {
  const { breaker: it, clock, states } = breaker();
  fail(it, 3);
  clock.advance(999);
  assert.throws(() => it.enter(), CircuitOpen);
  clock.advance(1);
  const ended = it.enter();
  assert.throws(() => it.enter(), new CircuitOpen("half-open"));
  ended(true);
  assert.deepEqual(states, ["open", "half-open", "closed"]);
  assert.equal(it.counts.requests, 0);
});

test("half open, one failure opens it again, for the whole time", () => {
  const { breaker: it, clock } = breaker({ maxRequests: 2 });
  fail(it, 3);
  clock.advance(1000);
  const [first, second] = [it.enter(), it.enter()];
  first(true);
  second(false);
  assert.equal(it.state, "open");
  clock.advance(999);
  assert.equal(it.state, "open");
  clock.advance(1);
  assert.equal(it.state, "half-open");
});

test("what began before it changed its state does not count any more", () => {
  const { breaker: it, clock } = breaker();
  const late = it.enter();
  fail(it, 3);
  clock.advance(1000);
  assert.equal(it.state, "half-open");
  late(false);
  assert.equal(it.state, "half-open");
});

test("the counts of a closed one begin anew after its interval", () => {
  const { breaker: it, clock } = breaker({ intervalMs: 100 });
  fail(it, 2);
  clock.advance(100);
  assert.equal(it.counts.consecutiveFailures, 0);
  fail(it, 2);
  assert.equal(it.state, "closed");
});
