import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutSecrets } from "./open-tracer.ts";

test("where spans are sent is told without the keys that stand in a URL", () => {
  assert.equal(withoutSecrets("http://localhost:9411/api/v2/spans"), "http://localhost:9411/api/v2/spans");
  assert.equal(withoutSecrets("https://user:word@traces.example/v1?Api-Key=x#y"), "https://traces.example/v1");
});
