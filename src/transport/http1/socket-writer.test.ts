import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeSocket, settled } from "../../../test/support/fake-socket.ts";
import { SocketWriter } from "./socket-writer.ts";

function writerOnto(socket: FakeSocket): SocketWriter {
  return new SocketWriter(socket.asSocket());
}

test("what can wait goes out at the end of the turn, in order, on each socket its own", async () => {
  const [a, b] = [new FakeSocket(), new FakeSocket()];
  const [toA, toB] = [writerOnto(a), writerOnto(b)];
  toA.writeSoon("1");
  toB.writeSoon("x");
  toA.writeSoon("2");
  assert.deepEqual([a.written, b.written, toA.isWaiting], ["", "", true]);
  await settled();
  assert.deepEqual([a.written, b.written, toA.isWaiting], ["12", "x", false]);
});

test("a write that cannot wait goes out behind what waited", async () => {
  const socket = new FakeSocket();
  const writer = writerOnto(socket);
  writer.writeSoon("1");
  writer.now().write("2");
  writer.writeSoon("3");
  await settled();
  assert.equal(socket.written, "123");
});

test("what is written while others are written goes out as well", async () => {
  const [a, b] = [new FakeSocket(), new FakeSocket()];
  const [toA, toB] = [writerOnto(a), writerOnto(b)];
  const write = a._write.bind(a);
  a._write = (chunk, encoding, callback) => {
    if (a.written === "") toB.writeSoon("x");
    write(chunk, encoding, callback);
  };
  toA.writeSoon("1");
  await settled();
  assert.deepEqual([a.written, b.written], ["1", "x"]);
});

test("much does not wait", () => {
  const socket = new FakeSocket();
  writerOnto(socket).writeSoon("a".repeat(20_000));
  assert.equal(socket.written.length, 20_000);
});

test("a socket that has enough says so", () => {
  const socket = new FakeSocket();
  socket._write = () => undefined;
  const writer = writerOnto(socket);
  assert.equal(writer.writeSoon("a"), true);
  assert.equal(writer.writeSoon("a".repeat(100_000)), false);
  assert.equal(writer.writeSoon("a"), false);
});

test("what waits for a socket that is gone is lost, and disturbs nobody", async () => {
  const [gone, there] = [new FakeSocket(), new FakeSocket()];
  writerOnto(gone).writeSoon("a");
  writerOnto(there).writeSoon("b");
  gone.destroy();
  await settled();
  assert.deepEqual([gone.written, there.written], ["", "b"]);
});

test("a write that throws costs its own socket and no other", async () => {
  const [before, broken, behind] = [new FakeSocket(), new FakeSocket(), new FakeSocket()];
  broken._write = () => {
    throw new Error("broken");
  };
  for (const socket of [before, broken, behind]) writerOnto(socket).writeSoon("a");
  await settled();
  assert.deepEqual([before.written, behind.written], ["a", "a"]);
  assert.deepEqual([before.destroyed, broken.destroyed, behind.destroyed], [false, true, false]);
});
