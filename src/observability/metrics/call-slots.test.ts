import assert from "node:assert/strict";
import { test } from "node:test";
import { CallSlots } from "./call-slots.ts";

test("the slots of a call that was seen are found without writing its labels again", () => {
  const written: string[] = [];
  const slots = new CallSlots((method, path, status) => {
    written.push(`${method} ${path} ${status}`);
    return { name: written.at(-1) };
  });
  assert.equal(slots.of("GET", "/x", 200), slots.of("GET", "/x", 200));
  assert.equal(slots.of("GET", "/x", 404).name, "GET /x 404");
  assert.equal(slots.of("POST", "/x", 200).name, "POST /x 200");
  assert.equal(slots.of("GET", "/y", 200).name, "GET /y 200");
  assert.equal(slots.of("GET", "/x", 404), slots.of("GET", "/x", 404));
  assert.equal(written.length, 4);
});

test("any number of paths and verbs is taken, and not all are remembered", () => {
  let written = 0;
  const slots = new CallSlots((_method, path) => {
    written++;
    return path;
  });
  for (let i = 0; i < 10_000; i++) assert.equal(slots.of("GET", `/${i}`, 200), `/${i}`);
  for (let i = 0; i < 1000; i++) assert.equal(slots.of(`VERB${i}`, "/one", 200), "/one");
  slots.of("VERB999", "/one", 200);
  assert.equal(written, 11_001);
});

test("a path that is too long is taken, and not remembered", () => {
  let written = 0;
  const slots = new CallSlots((_method, path) => {
    written++;
    return path.length;
  });
  const path = `/${"x".repeat(5000)}`;
  assert.deepEqual([slots.of("GET", path, 200), slots.of("GET", path, 200), written], [5001, 5001, 2]);
});
