import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { gatheredBody } from "./gathered-body.ts";

function emptyStream(): Readable {
  return new Readable({ read: () => undefined });
}

async function textOf(body: Readable): Promise<string> {
  return Buffer.concat(await body.toArray()).toString();
}

test("a body that comes at once is gathered", async () => {
  const body = emptyStream();
  const gathered = gatheredBody(body, 10);
  body.push("abc");
  body.push("de");
  body.push(null);
  assert.deepEqual(await gathered, Buffer.from("abcde"));
});

test("so is an empty one", async () => {
  const body = emptyStream();
  const gathered = gatheredBody(body, 10);
  body.push(null);
  assert.deepEqual(await gathered, Buffer.alloc(0));
});

test("of a body that is not short, the stream is given back complete", async () => {
  const body = emptyStream();
  const gathered = gatheredBody(body, 3);
  body.push("ab");
  body.push("cd");
  assert.equal(await gathered, body);
  body.push("ef");
  body.push(null);
  assert.equal(await textOf(body), "abcdef");
});

test("of a body that is longer and has ended already, too", async () => {
  const body = emptyStream();
  body.push("abcdef");
  body.push(null);
  assert.equal(await gatheredBody(body, 3), body);
  assert.equal(await textOf(body), "abcdef");
});

test("of a body that keeps us waiting, too", async () => {
  const body = emptyStream();
  const gathered = gatheredBody(body, 10);
  body.push("ab");
  assert.equal(await gathered, body);
  body.push("cd");
  body.push(null);
  assert.equal(await textOf(body), "abcd");
});

test("of one that keeps us waiting for its first byte, too", async () => {
  const body = emptyStream();
  assert.equal(await gatheredBody(body, 10), body);
  body.push(null);
  assert.equal(await textOf(body), "");
});

test("a body that breaks, or is given up, fails the gathering", async () => {
  for (const [error, message] of [
    [new Error("the caller closed its connection"), /the caller closed/],
    [undefined, /given up/],
  ] as const) {
    const body = emptyStream();
    const gathered = gatheredBody(body, 10);
    body.destroy(error);
    await assert.rejects(gathered, message);
  }
});
