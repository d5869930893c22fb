import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough, type Readable } from "node:stream";
import { test } from "node:test";
import { FirstMessageBody } from "./first-message-body.ts";
import { frameOf } from "./message-frames.ts";

const first = frameOf(Buffer.from("first"));
const second = frameOf(Buffer.from("second"));

function bodyOf(maxMessageBytes = 1000): { readonly source: PassThrough; readonly body: FirstMessageBody } {
  const source = new PassThrough();
  source.on("error", () => undefined);
  return { source, body: new FirstMessageBody(source, maxMessageBytes) };
}

async function piece(reader: Readable): Promise<string> {
  const [bytes] = (await once(reader, "data")) as [Buffer];
  return bytes.toString("latin1");
}

async function all(reader: Readable): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const bytes of reader as AsyncIterable<Buffer>) pieces.push(bytes);
  return Buffer.concat(pieces).toString("latin1");
}

test("the first message can be read again, with what comes behind it, while the stream is open", async () => {
  const { source, body } = bodyOf();
  source.write(first);
  const failed = body.open();
  assert.equal(await piece(failed), first.toString("latin1"));
  failed.destroy();
  assert.ok(body.canRepeat);
  const again = body.open();
  source.end(second);
  assert.equal(await all(again), Buffer.concat([first, second]).toString("latin1"));
});

test("a request that was all there can be read any number of times", async () => {
  const { source, body } = bodyOf();
  source.end(first);
  for (let i = 0; i < 3; i++) {
    assert.equal(await all(body.open()), first.toString("latin1"));
    assert.ok(body.canRepeat);
  }
});

test("nothing is read before somebody wants it", () => {
  const { source, body } = bodyOf();
  source.write(first);
  body.open().destroy();
  assert.equal(source.readableDidRead, false);
  assert.ok(body.canRepeat);
});

test("a second message, a long first one, and an answer end it", async () => {
  const withSecond = bodyOf();
  withSecond.source.write(Buffer.concat([first, second.subarray(0, 1)]));
  await piece(withSecond.body.open());
  const long = bodyOf(100_000);
  long.source.end(frameOf(Buffer.alloc(64 * 1024 + 1)));
  await all(long.body.open());
  const answered = bodyOf();
  answered.source.write(first);
  await piece(answered.body.open());
  answered.body.keepNoMore();
  for (const { body } of [withSecond, long, answered]) assert.equal(body.canRepeat, false);
});

test("a message over the limit, and a caller that leaves, break it for good", async () => {
  const large = bodyOf(3);
  large.source.write(first);
  await assert.rejects(all(large.body.open()), { code: "ResourceExhausted" });
  assert.equal(large.body.canRepeat, false);
  const left = bodyOf();
  left.source.write(first);
  const reader = left.body.open();
  await piece(reader);
  left.source.destroy(new Error("the caller reset its stream"));
  await assert.rejects(all(reader), { message: "the caller reset its stream" });
  assert.equal(left.body.canRepeat, false);
});

test("a reader that does not read holds the caller back", async () => {
  const { source, body } = bodyOf(1_000_000);
  const reader = body.open();
  reader.once("data", () => {
    reader.pause();
  });
  let written = 0;
  while (source.write(frameOf(Buffer.alloc(10_000)))) written += 10_000;
  await once(reader, "pause");
  while (written < 1_000_000 && source.write(frameOf(Buffer.alloc(10_000)))) written += 10_000;
  assert.ok(written < 100_000, `${written} bytes were taken`);
});

test("what nobody will read again is given up", async () => {
  const { source, body } = bodyOf();
  source.write(first);
  const reader = body.open();
  await piece(reader);
  body.keepNoMore();
  reader.destroy();
  await once(source, "close");
});
