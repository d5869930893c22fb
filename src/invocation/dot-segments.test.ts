import assert from "node:assert/strict";
import { test } from "node:test";
import { hasDotSegments } from "./dot-segments.ts";

for (const path of [
  "/a/../b",
  "/a/./b",
  "/..",
  "/a/.",
  "/a/%2e%2E/b",
  "/a/.%2e",
  "/a%2f..%2Fb",
  "/a/%252e%252e/b",
  String.raw`/a\..\b`,
  "/a%5c../b",
  "/a/..;x/b",
  "/a/..%3bx/b",
]) {
  test(`${path} has dot segments`, () => {
    assert.equal(hasDotSegments(path), true);
  });
}

for (const path of ["/", "/a/b", "/v1.0/invoke/shop.default/method/x", "/a/...", "/.well-known/x", "/a..b/c.", "//a"]) {
  test(`${path} has none`, () => {
    assert.equal(hasDotSegments(path), false);
  });
}
