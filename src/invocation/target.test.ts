import assert from "node:assert/strict";
import { test } from "node:test";
import { type AppIdentity, parseAppId, parseNamespace } from "../core/app-id.ts";
import { CallError } from "../core/errors.ts";
import { parseTarget } from "./target.ts";

const self = app("front", "prod");

test("an id alone is an app of the caller's own namespace", () => {
  assert.deepEqual(parseTarget("math", self), { kind: "app", app: app("math", "prod") });
});

test("id.namespace is an app of that namespace, although the id is the caller's", () => {
  assert.deepEqual(parseTarget("math.testing", self), { kind: "app", app: app("math", "testing") });
  assert.deepEqual(parseTarget("front.testing", self), { kind: "app", app: app("front", "testing") });
});

test("the caller itself is known by its id, with its namespace or without", () => {
  assert.deepEqual(parseTarget("front", self), { kind: "self" });
  assert.deepEqual(parseTarget("front.prod", self), { kind: "self" });
});

test("ids are case-sensitive", () => {
  assert.deepEqual(parseTarget("Front", self), { kind: "app", app: app("Front", "prod") });
});

for (const url of ["http://example.org", "https://example.org:8443/base", "HTTP://example.org", "http://a.b.c.d"]) {
  test(`${url} is a URL, dots and all`, () => {
    assert.deepEqual(parseTarget(url, self), { kind: "url", url });
  });
}

test("no id at all is said in daprd's words, which only a caller over gRPC can hear", () => {
  assert.throws(() => parseTarget("", self), new CallError(undefined, "app id is empty"));
});

for (const text of ["a.b.c", "math.", ".prod", "."]) {
  test(`"${text}" names no app, which is said in daprd's words`, () => {
    assert.throws(() => parseTarget(text, self), new CallError(undefined, `invalid app id ${text}`));
  });
}

function app(id: string, namespace: string): AppIdentity {
  return { id: parseAppId(id), namespace: parseNamespace(namespace) };
}
