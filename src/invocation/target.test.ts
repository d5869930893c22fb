import assert from "node:assert/strict";
import { test } from "node:test";
import { type AppIdentity, parseAppId, parseNamespace } from "../core/app-id.ts";
import { CallError } from "../core/errors.ts";
import { KnownUrls } from "./endpoint-url.ts";
import type { Endpoint } from "./ports.ts";
import { parseTarget } from "./target.ts";

const self = app("front", "prod");
const none: ReadonlyMap<string, Endpoint> = new Map();

test("an id alone is an app of the caller's own namespace", () => {
  assert.deepEqual(parseTarget("math", self, none), { kind: "app", app: app("math", "prod") });
});

test("id.namespace is an app of that namespace, although the id is the caller's", () => {
  assert.deepEqual(parseTarget("math.testing", self, none), { kind: "app", app: app("math", "testing") });
  assert.deepEqual(parseTarget("front.testing", self, none), { kind: "app", app: app("front", "testing") });
});

test("the caller itself is known by its id, with its namespace or without", () => {
  assert.deepEqual(parseTarget("front", self, none), { kind: "self" });
  assert.deepEqual(parseTarget("front.prod", self, none), { kind: "self" });
});

test("ids are case-sensitive", () => {
  assert.deepEqual(parseTarget("Front", self, none), { kind: "app", app: app("Front", "prod") });
});

for (const [url, scheme, host, port, basePath, name] of [
  ["http://example.org", "http", "example.org", 80, "", "http://example.org"],
  ["https://example.org:8443/base/", "https", "example.org", 8443, "/base", "https://example.org:8443/base/"],
  ["HTTP://example.org", "http", "example.org", 80, "", "http://example.org"],
  ["https:/a.b.c.d", "https", "a.b.c.d", 443, "", "https://a.b.c.d"],
  ["http%3A%2F%2Fexample.org%3A81%2Fbase", "http", "example.org", 81, "/base", "http://example.org:81/base"],
  ["https%3A//example.org", "https", "example.org", 443, "", "https://example.org"],
  ["http://[::1]:81", "http", "::1", 81, "", "http://[::1]:81"],
] as const) {
  test(`${url} is a URL, dots and all`, () => {
    const endpoint = { name, scheme, host, port, basePath, headers: [], tls: undefined, followsRedirects: false };
    assert.deepEqual(parseTarget(url, self, none), { kind: "url", endpoint });
  });
}

for (const url of ["http://", "http://a?b", "http://a#b", "https://user:secret@a", "http://a:99999"]) {
  test(`${url} is no URL of a host alone`, () => {
    assert.throws(() => parseTarget(url, self, none), /invalid URL /);
  });
}

test("an endpoint goes before a URL and an app of its name, and may have dots in it", () => {
  for (const name of ["ext", "api.example.org", "front", "http://example.org"]) {
    const { endpoint } = parseTarget("https://somewhere", self, none) as { readonly endpoint: Endpoint };
    assert.deepEqual(parseTarget(name, self, new Map([[name, endpoint]])), { kind: "endpoint", endpoint });
  }
});

test("no id at all is said in daprd's words, which only a caller over gRPC can hear", () => {
  assert.throws(() => parseTarget("", self, none), new CallError(undefined, "app id is empty"));
});

for (const text of ["a.b.c", "math.", ".prod", "."]) {
  test(`"${text}" names no app, which is said in daprd's words`, () => {
    assert.throws(() => parseTarget(text, self, none), new CallError(undefined, `invalid app id ${text}`));
  });
}

function app(id: string, namespace: string): AppIdentity {
  return { id: parseAppId(id), namespace: parseNamespace(namespace) };
}

test("a URL that is known is not read again, and others do not pile up", () => {
  const urls = new KnownUrls();
  const first = urls.endpointAt("http://example.org");
  assert.equal(urls.endpointAt("http://example.org"), first);
  for (let n = 0; n < 1000; n++) urls.endpointAt(`http://example.org/${n}`);
  assert.notEqual(urls.endpointAt("http://example.org"), first);
  assert.throws(() => urls.endpointAt("http://"), /invalid URL/);
});
