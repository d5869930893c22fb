import assert from "node:assert/strict";
import { test } from "node:test";
import { formatTimeout, parseTimeout } from "./timeout.ts";

for (const [text, ms] of [
  ["1H", 3_600_000],
  ["2M", 120_000],
  ["99999999S", 99_999_999_000],
  ["0m", 0],
  ["5u", 0.005],
  ["", undefined],
  ["1", undefined],
  ["S", undefined],
  ["-1S", undefined],
  ["1.5S", undefined],
  ["123456789S", undefined],
  ["1s", undefined],
  ["1S ", undefined],
] as const) {
  test(`a grpc-timeout of ${JSON.stringify(text)} is ${ms === undefined ? "none" : `${ms} ms`}`, () => {
    assert.equal(parseTimeout(text), ms);
  });
}

test("what is left is never rounded to nothing, and never below nothing", () => {
  assert.equal(parseTimeout(formatTimeout(-5)), 0);
  for (const ms of [0.000_001, 1, 1500, 3_600_000, 1e12]) {
    const written = parseTimeout(formatTimeout(ms)) ?? 0;
    assert.ok(written >= ms && written < ms * 1.001 + 1, `${ms} ms became ${written}`);
  }
});
