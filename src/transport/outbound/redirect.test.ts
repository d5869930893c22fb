import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { requestMessage, type Sent } from "../../../test/support/upstream.ts";
import type { ResponseMessage } from "../../core/message.ts";
import type { RawHeaders } from "../../core/raw-headers.ts";
import type { Endpoint } from "../../invocation/ports.ts";
import { redirected } from "./redirect.ts";

const tls = { ca: "CA", own: { certificate: "C", privateKey: "K" }, renegotiation: "never" } as const;
const endpoint: Endpoint = {
  name: "ext",
  scheme: "https",
  host: "api.test",
  port: 443,
  basePath: "/v2",
  headers: ["X-Key", "k"],
  tls,
  followsRedirects: true,
};
const headers = ["X-Key", "k", "Authorization", "Bearer x", "Cookie", "c", "Content-Type", "text/plain", "X-Mine", "m"];

function answer(status: number, location?: string): ResponseMessage {
  const own: RawHeaders = location === undefined ? [] : ["Location", location];
  return { status, statusText: "", headers: own, body: undefined };
}

function after(status: number, location?: string, sent: Sent = {}): ReturnType<typeof redirected> {
  return redirected(endpoint, requestMessage({ path: "/v2/a", headers, ...sent }), answer(status, location));
}

test("where it leads is counted from where the answer came from", () => {
  for (const [location, host, port, path, query] of [
    ["/b?x=1", "api.test", 443, "/b", "x=1"],
    ["b", "api.test", 443, "/v2/b", undefined],
    ["?y=2", "api.test", 443, "/v2/a", "y=2"],
    [Buffer.from("/ü").toString("latin1"), "api.test", 443, "/%C3%BC", undefined],
    ["//other.test/c", "other.test", 443, "/c", undefined],
    ["http://[::1]:8080/d#part", "::1", 8080, "/d", undefined],
  ] as const) {
    const { at, asked } = after(302, location) ?? {};
    assert.deepEqual([at?.host, at?.port, asked?.path, asked?.query], [host, port, path, query]);
  }
});

test("301, 302 and 303 ask with GET and without a body, HEAD stays HEAD; 307 and 308 ask the same again", () => {
  const body = Buffer.from("body");
  for (const status of [301, 302, 303]) {
    const { asked } = after(status, "/b", { method: "POST", body }) ?? {};
    assert.deepEqual([asked?.method, asked?.body, asked?.contentLength], ["GET", undefined, 0]);
    assert.ok(!asked?.headers.includes("Content-Type"));
    assert.equal(after(status, "/b", { method: "HEAD" })?.asked.method, "HEAD");
  }
  for (const status of [307, 308]) {
    const { asked } = after(status, "/b", { method: "PUT", body }) ?? {};
    assert.deepEqual([asked?.method, asked?.body, asked?.headers], ["PUT", body, headers]);
  }
});

test("what is no redirect, leads nowhere or cannot be followed is an answer like any", () => {
  assert.equal(after(200, "/b"), undefined);
  assert.equal(after(304, "/b"), undefined);
  assert.equal(after(302), undefined);
  for (const location of ["ftp://api.test/b", "javascript:1", "http://"]) assert.equal(after(302, location), undefined);
  assert.equal(after(307, "/b", { method: "POST", body: new PassThrough() }), undefined);
});

test("the same origin gets what it got before", () => {
  const { at, asked } = after(302, "https://api.test:443/b") ?? {};
  assert.equal(at?.tls, tls);
  assert.deepEqual(at.headers, ["X-Key", "k"]);
  assert.ok(asked?.headers.includes("Bearer x"));
});

for (const [what, location] of [
  ["another host", "https://other.test/b"],
  ["another port", "https://api.test:444/b"],
  ["another scheme", "http://api.test/b"],
] as const) {
  test(`${what} gets no credentials, nothing that the endpoint adds, and is not shown its certificate`, () => {
    const { at, asked } = after(307, location) ?? {};
    assert.deepEqual([at?.tls, at?.headers], [{ ...tls, own: undefined }, []]);
    assert.deepEqual(asked?.headers, ["Content-Type", "text/plain", "X-Mine", "m"]);
  });
}

test("another origin is told what the caller can read, which an MCP server insists on", () => {
  const asking = { ...endpoint, headers: ["Accept", "text/event-stream"] };
  const accept = ["accept", "application/json, text/event-stream"];
  const { asked } = redirected(asking, requestMessage({ headers: accept }), answer(308, "https://other.test/")) ?? {};
  assert.deepEqual(asked?.headers, accept);
});
