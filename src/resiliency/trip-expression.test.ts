import assert from "node:assert/strict";
import { test } from "node:test";
import { compileTrip } from "./trip-expression.ts";

const counts = { requests: 10, totalSuccesses: 4, totalFailures: 6, consecutiveSuccesses: 0, consecutiveFailures: 5 };

for (const [expression, trips] of [
  ["consecutiveFailures >= 5", true],
  ["consecutiveFailures > 5", false],
  ["requests >= 10 && totalFailures * 100 / requests > 50", true],
  ["double(totalFailures) / double(requests) > 0.65", false],
  ["totalFailures / consecutiveSuccesses > 1", false],
] as const) {
  test(`${expression} is ${trips}`, () => {
    assert.equal(compileTrip(expression)(counts), trips);
  });
}

for (const [expression, message] of [
  ["consecutiveFailure > 5", /"consecutiveFailure > 5" speaks of something else than requests, totalSuccesses/],
  ["consecutiveFailures >", /is no CEL expression/],
  ["consecutiveFailures", /is neither true nor false/],
] as const) {
  test(`${expression} is refused`, () => {
    assert.throws(() => compileTrip(expression), message);
  });
}
