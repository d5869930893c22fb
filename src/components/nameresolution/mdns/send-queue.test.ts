import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { test } from "node:test";
import { SendQueue } from "./send-queue.ts";

/** Work that ends when it is told to. */
function held() {
  const done: string[] = [];
  const end = new EventEmitter();
  const promise = once(end, "end");
  const work = (name: string) => async (): Promise<void> => {
    await promise;
    done.push(name);
  };
  return { done, work, release: () => end.emit("end") };
}

test("work is done in turn; what fails tells so, and keeps nothing from what follows", async () => {
  const queue = new SendQueue();
  const { done, work, release } = held();
  const first = queue.add(work("a"));
  const failing = queue.add(() => Promise.reject(new Error("no route")));
  const last = queue.add(work("b"));
  release();
  assert.equal(await first, undefined);
  assert.deepEqual(await failing, new Error("no route"));
  assert.equal(await last, undefined);
  assert.deepEqual(done, ["a", "b"]);
});

test("where too much waits already, what others ask for is left undone; what is ours is not", async () => {
  const queue = new SendQueue();
  const { done, work, release } = held();
  for (let index = 0; index < 1000; index++) void queue.addUnlessFull(3, work(`asked ${index}`));
  void queue.add(work("ours"));
  release();
  await queue.whenEmpty();
  assert.deepEqual(done, ["asked 0", "asked 1", "asked 2", "ours"]);
  await queue.addUnlessFull(3, work("later"));
  assert.equal(done.at(-1), "later");
});
