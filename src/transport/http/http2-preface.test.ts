import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeSocket, settled } from "../../../test/support/fake-socket.ts";
import { type Beginning, isHttp2Preface, peekAtPreface } from "./http2-preface.ts";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const LONG = 60_000;

test("the preface is told as soon as its bytes differ, or are complete", () => {
  for (let length = 0; length < PREFACE.length; length++) {
    assert.equal(isHttp2Preface(Buffer.from(PREFACE.slice(0, length))), undefined);
    assert.equal(isHttp2Preface(Buffer.from(`${PREFACE.slice(0, length)}x`)), false);
  }
  assert.equal(isHttp2Preface(Buffer.from(PREFACE)), true);
  assert.equal(isHttp2Preface(Buffer.from(`${PREFACE}and more`)), true);
});

async function peek(pieces: readonly string[], patienceMs = LONG): Promise<{ told: Beginning[]; left: string }> {
  const socket = new FakeSocket();
  const told: Beginning[] = [];
  peekAtPreface(socket.asSocket(), patienceMs, (beginning) => told.push(beginning));
  for (const piece of pieces) {
    socket.feed(Buffer.from(piece));
    await settled();
  }
  const read = socket.read() as Buffer | null;
  const left = read?.toString() ?? "";
  socket.destroy();
  return { told, left };
}

test("a connection that begins with the preface, in any pieces, is given on with all its bytes unread", async () => {
  for (const pieces of [[PREFACE, "more"], [`${PREFACE}more`], [...Array.from(PREFACE), "more"]]) {
    assert.deepEqual(await peek(pieces), { told: ["http/2"], left: `${PREFACE}more` });
  }
});

test("any other is given on as soon as it is known to be one", async () => {
  for (const pieces of [["GET / HTTP/1.1\r\n"], ["P", "OST /"], ["PRI * HTTP/2.0\r\n", "X: y\r\n"]]) {
    assert.deepEqual(await peek(pieces), { told: ["other"], left: pieces.join("") });
  }
});

test("one that ends before it can be told is told of, and one that breaks is not", async () => {
  const socket = new FakeSocket();
  const told: Beginning[] = [];
  peekAtPreface(socket.asSocket(), LONG, (beginning) => told.push(beginning));
  socket.feed(Buffer.from("PRI"));
  socket.feedEnd();
  await settled();
  assert.deepEqual(told, ["ended"]);
  const broken = new FakeSocket();
  peekAtPreface(broken.asSocket(), LONG, (beginning) => told.push(beginning));
  broken.destroy();
  await settled();
  assert.deepEqual(told, ["ended"]);
});

test("one that is silent is told of in time", async () => {
  const socket = new FakeSocket();
  assert.equal(
    await new Promise((resolve) => {
      peekAtPreface(socket.asSocket(), 1, resolve);
    }),
    "late",
  );
});
