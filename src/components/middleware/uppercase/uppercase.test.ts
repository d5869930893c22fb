import assert from "node:assert/strict";
import { PassThrough, Readable } from "node:stream";
import { test } from "node:test";
import { metadataWith } from "../../../../test/support/component-metadata.ts";
import { anAnswer, aRequest, testMiddlewareContract } from "../../../../test/support/middleware-contract.ts";
import { inUpperCase } from "./upper-case-body.ts";
import { Uppercase } from "./uppercase.ts";

testMiddlewareContract("uppercase", {
  create: () => new Uppercase(),
  fields: {},
  slip: { written: "directoin", meant: "direction" },
  unusable: { direction: "sideways" },
});

/** The body that got behind it, with its length, and the one that came back. */
async function through(direction: string | undefined, text: string): Promise<[string, number | undefined, string]> {
  const middleware = new Uppercase();
  await middleware.init(await metadataWith(direction === undefined ? {} : { direction }));
  const body = Buffer.from(text);
  const seen: [string, number | undefined] = ["", undefined];
  const answer = await middleware.handle(aRequest({ body, contentLength: body.length }), (request) => {
    assert.ok(request.body instanceof Uint8Array);
    seen[0] = Buffer.from(request.body).toString();
    seen[1] = request.contentLength;
    return Promise.resolve(anAnswer({ body, headers: ["Content-Length", String(body.length), "X-Mine", "m"] }));
  });
  assert.ok(answer.body instanceof Uint8Array);
  const isOthers = direction === "response" || direction === "both";
  assert.deepEqual(answer.headers, isOthers ? ["X-Mine", "m"] : ["Content-Length", String(body.length), "X-Mine", "m"]);
  return [...seen, Buffer.from(answer.body).toString()];
}

test("bodies of requests are put into capitals, or those of answers, or both", async () => {
  assert.deepEqual(await through(undefined, "abc"), ["ABC", 3, "abc"]);
  assert.deepEqual(await through("request", "abc"), ["ABC", 3, "abc"]);
  assert.deepEqual(await through("response", "abc"), ["abc", 3, "ABC"]);
  assert.deepEqual(await through("both", "abc"), ["ABC", 3, "ABC"]);
});

test("letters are put into capitals one by one, whatever their length", async () => {
  assert.deepEqual((await through(undefined, "ünì ß ı")).slice(0, 2), ["ÜNÌ ß I", 10]);
});

test("a letter that arrives in two pieces is one letter", async () => {
  const source = new PassThrough();
  const body = inUpperCase(source);
  assert.ok(body instanceof Readable);
  const letter = Buffer.from("é");
  source.write(Buffer.concat([Buffer.from("a"), letter.subarray(0, 1)]));
  source.end(letter.subarray(1));
  assert.equal(Buffer.concat((await body.toArray()) as Buffer[]).toString(), "AÉ");
});

test("a body that breaks is broken behind it, too", async () => {
  const source = new PassThrough();
  const body = inUpperCase(source);
  assert.ok(body instanceof Readable);
  source.destroy(new Error("broke"));
  await assert.rejects(body.toArray(), /broke/);
});

test("a body that nobody wants any more is not read on", async () => {
  const source = new PassThrough();
  const body = inUpperCase(source);
  assert.ok(body instanceof Readable);
  const closed = new Promise((resolve) => source.once("close", resolve));
  body.destroy();
  await closed;
  assert.ok(source.destroyed);
});
