import assert from "node:assert/strict";
import { test } from "node:test";
import { nearestName } from "./nearest-name.ts";

const KNOWN = ["appID", "appPort", "appDirPath", "resourcesPaths", "env"];

const MEANT: [wrong: string, known: string][] = [
  ["appId", "appID"],
  ["APPPORT", "appPort"],
  ["app-port", "appPort"],
  ["appDirPth", "appDirPath"],
  ["resourcePath", "resourcesPaths"],
  ["envs", "env"],
  ["appPort", "appPort"],
];

for (const [wrong, known] of MEANT) {
  test(`"${wrong}" was meant to be "${known}"`, () => {
    assert.equal(nearestName(wrong, KNOWN), known);
  });
}

for (const wrong of ["replicas", "zzzzzzzzzzzz"]) {
  test(`"${wrong}" is like none of them`, () => {
    assert.equal(nearestName(wrong, KNOWN), undefined);
  });
}

test("the closest one is named, not the first that is close", () => {
  assert.equal(nearestName("common", ["commons2", "comon", "command"]), "comon");
});

test("of two that are as close the first is named", () => {
  assert.equal(nearestName("cat", ["bat", "rat"]), "bat");
});

test("nothing is near where nothing is known", () => {
  assert.equal(nearestName("appID", []), undefined);
});
