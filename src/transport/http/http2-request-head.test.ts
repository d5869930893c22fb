import assert from "node:assert/strict";
import { test } from "node:test";
import { type Http2RequestHead, type Refusal, readHttp2Head } from "./http2-request-head.ts";

const LIMIT = 1000;

function read(extra: readonly string[], pseudo: Readonly<Record<string, string>> = {}, endsHere = true) {
  const all = { ":method": "GET", ":scheme": "http", ":authority": "x:1", ":path": "/a?b", ...pseudo };
  return readHttp2Head([...Object.entries(all).flat(), ...extra], endsHere, LIMIT);
}

function headOf(head: Http2RequestHead | Refusal): Http2RequestHead {
  assert.ok(!("reason" in head), JSON.stringify(head));
  return head;
}

test("pseudo headers become what the other wires call them", () => {
  const { method, target, headers } = headOf(read(["x-a", "1", "x-b", "2", "x-a", "3"]));
  assert.deepEqual([method, target], ["GET", "/a?b"]);
  assert.deepEqual(headers, ["Host", "x:1", "x-a", "1", "x-b", "2", "x-a", "3"]);
});

test("there is one Host, and a request that names two is refused", () => {
  assert.deepEqual(headOf(read(["host", "x:1"])).headers, ["Host", "x:1"]);
  const raw = [":method", "GET", ":scheme", "http", ":path", "/", "host", "y"];
  assert.deepEqual(headOf(readHttp2Head(raw, true, LIMIT)).headers, ["Host", "y"]);
  assert.deepEqual(read(["host", "y"]), {
    status: 400,
    reason: "the request names one host in :authority and another in Host",
  });
});

test("crumbs of a cookie are one header, where the first of them was", () => {
  const { headers } = headOf(read(["cookie", "a=1", "x", "y", "cookie", "b=2", "cookie", "c=3"]));
  assert.deepEqual(headers, ["Host", "x:1", "cookie", "a=1; b=2; c=3", "x", "y"]);
});

test("the length of a body is what was said, unless there is none", () => {
  assert.equal(headOf(read([], {}, true)).contentLength, 0);
  assert.equal(headOf(read(["content-length", "7"], {}, true)).contentLength, 0);
  assert.equal(headOf(read(["content-length", "7"], {}, false)).contentLength, 7);
  assert.equal(headOf(read([], {}, false)).contentLength, undefined);
});

test("who waits for 100 Continue is known", () => {
  assert.equal(headOf(read(["expect", "100-Continue"])).expectsContinue, true);
  assert.equal(headOf(read(["expect", "more"])).expectsContinue, false);
});

test("targets and methods that HTTP/1.1 has no place for are refused", () => {
  for (const path of ["", "a", "//a\r\n", "/a b", "/a#b", "/caf\u00e9", "http://a/", "*/"]) {
    assert.deepEqual(read([], { ":path": path }), { status: 400, reason: "the request target is malformed" });
  }
  for (const method of ["FOO", "get", "GET ", "PRI", ""]) {
    assert.deepEqual(read([], { ":method": method }), { status: 400, reason: "the request's method is not known" });
  }
  assert.deepEqual(read([], { ":method": "CONNECT" }), { status: 400, reason: "CONNECT is not supported here" });
  assert.equal(headOf(read([], { ":path": "*", ":method": "OPTIONS" })).target, "*");
});

test("a head is measured as HTTP/1.1 would write it", () => {
  const { length } = Object.entries({ ":method": "GET", ":scheme": "http", ":authority": "x:1", ":path": "/a?b" })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("");
  const rest = LIMIT - length - "x: \r\n".length;
  headOf(read(["x", "a".repeat(rest)]));
  assert.deepEqual(read(["x", "a".repeat(rest + 1)]), {
    status: 431,
    reason: "the request's headers are over --read-buffer-size",
  });
});
