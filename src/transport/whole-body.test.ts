import assert from "node:assert/strict";
import { PassThrough, Readable } from "node:stream";
import { test } from "node:test";
import { CallAbort } from "../core/call-signal.ts";
import { wholeBody } from "./whole-body.ts";

test("a body is read to its end, and not beyond its limit", async () => {
  const pieces = (): Readable => Readable.from([Buffer.from("ab"), Buffer.from("cd")]);
  const { signal } = { signal: new CallAbort() };
  assert.equal(Buffer.from(await wholeBody(pieces(), 4, signal)).toString(), "abcd");
  const long = pieces();
  await assert.rejects(wholeBody(long, 3, signal), { code: "ResourceExhausted" });
  assert.ok(long.destroyed);
  await assert.rejects(
    wholeBody(pieces(), 3, signal, () => new Error("of my own")),
    /of my own/,
  );
});

test("a body that does not come is waited for no longer than its call lasts", async () => {
  const signal = new CallAbort();
  const body = new PassThrough();
  body.write("half");
  const read = wholeBody(body, 100, signal);
  signal.abort(new Error("too late"));
  await assert.rejects(read, /too late/);
  assert.ok(body.destroyed);
});
