import assert from "node:assert/strict";
import { test } from "node:test";
import { generateAppId } from "./generated-app-id.ts";

test("an id is two words and a number, whichever they are", () => {
  for (let at = 0; at < 40; at++) {
    const id = generateAppId(new Set(), (below) => at % below);
    assert.match(id, /^[a-z]+-[a-z]+-[1-9]\d{3}$/);
  }
  assert.match(
    generateAppId(new Set(), (below) => below - 1),
    /-9999$/,
  );
});

test("an id that an app has is not given to another", () => {
  const picks = [0, 0, 0, 0, 0, 1];
  const first = generateAppId(new Set(), () => 0);
  assert.notEqual(
    generateAppId(new Set([first]), () => picks.shift() ?? 0),
    first,
  );
});

test("chance decides which id it is", () => {
  const ids = new Set(Array.from({ length: 20 }, () => generateAppId(new Set())));
  assert.ok(ids.size > 1);
});
