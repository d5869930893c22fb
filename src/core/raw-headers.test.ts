import assert from "node:assert/strict";
import { test } from "node:test";
import { headerValue, headerValues, withoutHeaders } from "./raw-headers.ts";

const HEADERS = ["X-One", "1", "x-rep", "a", "X-REP", "", "X-Reply", "no", "X-Rep", "b"];

test("a header is found in any letter case, and the first of several is its value", () => {
  assert.equal(headerValue(HEADERS, "x-one"), "1");
  assert.equal(headerValue(HEADERS, "x-rep"), "a");
});

test("a header that is not there has no value, and is not mistaken for one whose name begins like it", () => {
  assert.equal(headerValue(HEADERS, "x-re"), undefined);
  assert.deepEqual(headerValues(HEADERS, "x-re"), []);
  assert.equal(headerValue([], "x-one"), undefined);
});

test("a value is not mistaken for a name", () => {
  assert.equal(headerValue(["X-Kind", "x-one"], "x-one"), undefined);
});

test("all values of a name come in their order, empty ones too", () => {
  assert.deepEqual(headerValues(HEADERS, "x-rep"), ["a", "", "b"]);
});

test("leaving headers out keeps the others as they were, and leaves the original alone", () => {
  const before = [...HEADERS];
  assert.deepEqual(
    withoutHeaders(HEADERS, (name) => name === "x-rep"),
    ["X-One", "1", "X-Reply", "no"],
  );
  assert.deepEqual(HEADERS, before);
});

test("what to leave out is asked in lower case", () => {
  const asked: string[] = [];
  withoutHeaders(HEADERS, (name) => asked.push(name) === 0);
  assert.deepEqual(asked, ["x-one", "x-rep", "x-rep", "x-reply", "x-rep"]);
});
