import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough, Readable } from "node:stream";
import { test } from "node:test";
import { CallError } from "../core/errors.ts";
import type { Body, RequestMessage } from "../core/message.ts";
import { bodyLimit, limited, streamTooLarge } from "./body-limit.ts";

const MAX = 10;
const tooLarge = streamTooLarge();

function requestWith(body: Body, contentLength: number | undefined): RequestMessage {
  const { signal } = new AbortController();
  return { method: "POST", path: "/", query: undefined, headers: ["X", "1"], body, contentLength, signal };
}

const KNOWN: [what: string, body: Body, contentLength: number | undefined][] = [
  ["no body", undefined, undefined],
  ["bytes that are all there", Buffer.alloc(MAX), MAX],
  ["a stream that says its length", Readable.from([Buffer.alloc(MAX)]), MAX],
];

for (const [what, body, contentLength] of KNOWN) {
  test(`a request with ${what}, within the limit, goes on as it is`, () => {
    const request = requestWith(body, contentLength);
    assert.equal(bodyLimit(MAX)(request), request);
  });
}

for (const [what, body] of [
  ["bytes", Buffer.alloc(MAX + 1)],
  ["a stream", Readable.from([Buffer.alloc(MAX + 1)])],
] as const) {
  test(`${what} whose length is known to be over the limit: refused before anything is read`, () => {
    assert.throws(
      () => bodyLimit(MAX)(requestWith(body, MAX + 1)),
      new CallError(
        "ResourceExhausted",
        "the request body has 11 bytes, more than --max-body-size of the callee allows (10)",
      ),
    );
    if (body instanceof Readable) assert.equal(body.readableDidRead, false);
  });
}

test("bytes that came in chunks are refused as a stream is, and let through where they fit", () => {
  assert.throws(() => bodyLimit(MAX)(requestWith(Buffer.alloc(MAX + 1), undefined)), tooLarge);
  const short = requestWith(Buffer.alloc(MAX), undefined);
  assert.equal(bodyLimit(MAX)(short), short);
});

test("without a limit nothing is refused", async () => {
  const known = requestWith(Buffer.alloc(1), Number.MAX_SAFE_INTEGER);
  assert.equal(bodyLimit(Number.POSITIVE_INFINITY)(known), known);
  const unknown = requestWith(Readable.from([Buffer.alloc(100_000)]), undefined);
  assert.equal((await bytesOf(bodyLimit(Number.POSITIVE_INFINITY)(unknown).body)).length, 100_000);
});

for (const sizes of [[MAX], [4, 6], [], [1, 1, 1]]) {
  test(`a stream of unknown length passes, byte for byte, up to the limit: ${JSON.stringify(sizes)}`, async () => {
    const chunks = sizes.map((size, at) => Buffer.alloc(size, 65 + at));
    const request = requestWith(Readable.from(chunks), undefined);
    const { body, ...rest } = bodyLimit(MAX)(request);
    assert.deepEqual(await bytesOf(body), Buffer.concat(chunks));
    assert.deepEqual({ ...rest, body: request.body }, request);
  });
}

for (const sizes of [[MAX + 1], [MAX, 1], [4, 4, 4]]) {
  test(`a stream of unknown length fails once it is over the limit: ${JSON.stringify(sizes)}`, async () => {
    const { body } = bodyLimit(MAX)(requestWith(Readable.from(sizes.map((size) => Buffer.alloc(size))), undefined));
    await assert.rejects(bytesOf(body), tooLarge);
  });
}

test("what was within the limit has passed when the stream fails, and nothing of what was over", async () => {
  const body = limited(Readable.from([Buffer.alloc(6, "a"), Buffer.alloc(6, "b")]), MAX);
  const passed: Buffer[] = [];
  body.on("data", (chunk: Buffer) => passed.push(chunk));
  await assert.rejects(once(body, "end"), tooLarge);
  assert.equal(Buffer.concat(passed).toString(), "aaaaaa");
});

test("a stream that breaks breaks behind the limit with the same error, and does not end", async () => {
  const source = new PassThrough();
  const { body } = bodyLimit(MAX)(requestWith(source, undefined));
  source.write("abc");
  const error = new Error("the client has gone");
  const read = bytesOf(body);
  source.destroy(error);
  await assert.rejects(read, error);
});

test("a stream that broke before it was limited breaks behind the limit too", { timeout: 5000 }, async () => {
  const source = new PassThrough();
  source.on("error", () => undefined);
  const error = new Error("the client has gone");
  source.destroy(error);
  await closed(source);
  await assert.rejects(bytesOf(limited(source, MAX)), error);
});

test("a body over two limits, read only after it broke at the first: it is broken behind both", {
  timeout: 5000,
}, async () => {
  // A caller's sidecar limits what it receives, looks for the callee meanwhile, and the callee's limits it again.
  const first = limited(Readable.from([Buffer.alloc(MAX + 1)]), MAX);
  await closed(first);
  await assert.rejects(bytesOf(limited(first, MAX)), tooLarge);
});

test("an error that nobody listens for ends nothing but the body", async () => {
  const source = new PassThrough();
  const body = limited(source, MAX);
  source.write(Buffer.alloc(MAX + 1));
  await closed(body);
  assert.deepEqual(body.errored, tooLarge);
});

test("who stops reading the limited body leaves its source standing, to be answered on", async () => {
  const source = new PassThrough();
  const body = limited(source, MAX);
  source.write("abc");
  await once(body, "readable");
  body.destroy();
  await closed(body);
  assert.equal(source.destroyed, false);
});

test("no more is taken from the source than the reader asks for", async () => {
  const source = new Readable({ highWaterMark: 0, read: () => undefined });
  let taken = 0;
  source._read = () => {
    taken += 16_384;
    source.push(Buffer.alloc(16_384));
  };
  limited(source, Number.POSITIVE_INFINITY);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(taken <= 16 * 16_384, `${taken} bytes were taken`);
});

/** Unlike `once`, does not mind an error. */
async function closed(stream: Readable): Promise<void> {
  await new Promise((resolve) => stream.once("close", resolve));
}

async function bytesOf(body: Body): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of body as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}
