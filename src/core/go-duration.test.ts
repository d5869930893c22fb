import assert from "node:assert/strict";
import { test } from "node:test";
import { goDuration } from "./go-duration.ts";

// As printed by Go's time.Duration.String.
const PRINTED: readonly (readonly [ms: number, text: string])[] = [
  [0, "0s"],
  [1, "1ms"],
  [500, "500ms"],
  [999, "999ms"],
  [1000, "1s"],
  [1500, "1.5s"],
  [5000, "5s"],
  [59_999, "59.999s"],
  [60_000, "1m0s"],
  [90_000, "1m30s"],
  [61_001, "1m1.001s"],
  [3_600_000, "1h0m0s"],
  [90_061_000, "25h1m1s"],
];

for (const [ms, text] of PRINTED) {
  test(`${ms} ms is ${text}`, () => {
    assert.equal(goDuration(ms), text);
  });
}
