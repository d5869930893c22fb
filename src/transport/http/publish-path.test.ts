import assert from "node:assert/strict";
import { test } from "node:test";
import { publishPathOf } from "./publish-path.ts";

function path(text: string, method = "POST"): string | undefined {
  const found = publishPathOf(method, text);
  return found === undefined ? undefined : `${found.isBulk ? "bulk " : ""}${found.pubsub}|${found.topic}`;
}

test("component and topic are unescaped, the topic is all that is left", () => {
  assert.equal(path("/v1.0/publish/mem/a%20b+c%2Fd/e"), "mem|a b c/d/e");
  assert.equal(path("/v1.0/publish/my%20mem/t", "PUT"), "my mem|t");
  assert.equal(path("/v1.0/publish/mem/100%"), "mem|100%");
});

test("many go to bulk, on both paths; a component named bulk can be had where no topic follows the name", () => {
  assert.equal(path("/v1.0/publish/bulk/mem/t/u"), "bulk mem|t/u");
  assert.equal(path("/v1.0-alpha1/publish/bulk/mem/t"), "bulk mem|t");
  assert.equal(path("/v1.0/publish/bulk/t"), "bulk|t");
});

test("what names no component or no topic is no such route, nor is another verb", () => {
  for (const text of [
    "/v1.0/publish",
    "/v1.0/publish/mem",
    "/v1.0/publish/mem/",
    "/v1.0-alpha1/publish/bulk/mem",
    "/v1.0-alpha1/publish/mem/t",
    "/x/v1.0/publish/mem/t",
  ]) {
    assert.equal(path(text), undefined, text);
  }
  assert.equal(path("/v1.0/publish/mem/t", "GET"), undefined);
});
