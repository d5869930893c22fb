import assert from "node:assert/strict";
import { test } from "node:test";
import { pauseBefore } from "./backoff.ts";

const exponential = { policy: "exponential", durationMs: 5000, maxIntervalMs: 2000 } as const;

test("a constant pause is always the same", () => {
  const constant = { ...exponential, policy: "constant" } as const;
  assert.deepEqual(
    [0, 1, 50].map((retry) => pauseBefore(retry, constant, Math.random)),
    [5000, 5000, 5000],
  );
});

test("an exponential one grows by half, up to its longest", () => {
  const pauses = [0, 1, 2, 3, 4, 1000].map((retry) => pauseBefore(retry, exponential, () => 0.5));
  assert.deepEqual(pauses, [500, 750, 1125, 1687.5, 2000, 2000]);
});

test("it is stretched or shortened by up to half", () => {
  assert.equal(
    pauseBefore(0, exponential, () => 0),
    250,
  );
  assert.equal(
    pauseBefore(0, exponential, () => 1),
    750,
  );
});
