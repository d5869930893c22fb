import assert from "node:assert/strict";
import { test } from "node:test";
import { ageOf } from "./list.ts";

const AGES: [seconds: number, age: string][] = [
  [-5, "0s"],
  [0, "0s"],
  [59.9, "59s"],
  [60, "1m"],
  [3599, "59m"],
  [3600, "1h"],
  [86_399, "23h"],
  [86_400, "1d"],
  [40 * 86_400, "40d"],
];

for (const [seconds, age] of AGES) {
  test(`what started ${seconds} s ago is ${age} old`, () => {
    assert.equal(ageOf(0, seconds * 1000), age);
  });
}
