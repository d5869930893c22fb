import assert from "node:assert/strict";
import { test } from "node:test";
import { metadataWith } from "../../../../test/support/component-metadata.ts";
import { anAnswer, aRequest, testMiddlewareContract, textOf } from "../../../../test/support/middleware-contract.ts";
import { RouterChecker } from "./router-checker.ts";

testMiddlewareContract("routerchecker", {
  create: () => new RouterChecker(),
  fields: { rule: "^/allowed" },
  slip: { written: "rules", meant: "rule" },
  unusable: {},
});

async function statusOf(rule: string, path: string, query?: string): Promise<number> {
  const middleware = new RouterChecker();
  await middleware.init(await metadataWith({ rule }));
  return (await middleware.handle(aRequest({ path, query }), () => Promise.resolve(anAnswer()))).status;
}

test("what the rule matches passes, and nothing else", async () => {
  const rule = "^[A-Za-z0-9/._-]+$";
  assert.equal(await statusOf(rule, "/v1.0/invoke/qcg.default/method"), 200);
  assert.equal(await statusOf(rule, "/v1.0/invoke/qcg.default/method/%20cat%20password"), 400);
});

test("the rule judges the decoded path, and the query behind it as it came", async () => {
  assert.equal(await statusOf("^/a b$", "/a%20b"), 200);
  assert.equal(await statusOf("^/a$", "/a", "x=1"), 400);
  assert.equal(await statusOf(String.raw`^/a(\?x=\d)?$`, "/a", "x=1"), 200);
  assert.equal(await statusOf("^/a$", "/a", ""), 200);
});

test("an escape that is none is refused", async () => {
  assert.equal(await statusOf(".*", "/%zz"), 400);
  assert.equal(await statusOf(".*", "/%ff"), 400);
});

test("a path that leads elsewhere than it says is refused, whatever the rule says", async () => {
  for (const path of ["/open/../closed", "/open/%2e%2e/closed", "/open/..;/closed", "/open/%252e./closed"]) {
    assert.equal(await statusOf("^/open/", path), 400, path);
  }
  assert.equal(await statusOf("^/open/", "/open/..."), 200);
});

test("what is refused is answered as contrib does", async () => {
  const middleware = new RouterChecker();
  await middleware.init(await metadataWith({ rule: "^/x" }));
  const answer = await middleware.handle(aRequest({ path: "/y" }), () => assert.fail("passed"));
  assert.deepEqual(answer.headers, ["Content-Type", "text/plain; charset=utf-8"]);
  assert.equal(textOf(answer.body), "invalid router");
});

test("a rule that is no regular expression is refused, with its place", async () => {
  await assert.rejects(async () => {
    await new RouterChecker().init(await metadataWith({ rule: "(" }));
  }, /^Error: component\.yaml:\d+: rule: Invalid regular expression/);
});
