import assert from "node:assert/strict";
import { test } from "node:test";
import { ProcessParts } from "./shared-parts.ts";

class Part {
  isClosed = false;

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
}

test("a part is made once, and closed when the last one gives it back", async () => {
  const parts = new ProcessParts();
  const create = (): Promise<Part> => Promise.resolve(new Part());
  const [one, other] = await Promise.all([parts.borrow("key", create), parts.borrow("key", create)]);
  assert.equal(one.part, other.part);
  await one.giveBack();
  await one.giveBack();
  assert.equal(one.part.isClosed, false);
  await other.giveBack();
  assert.equal(one.part.isClosed, true);
  const next = await parts.borrow("key", create);
  assert.notEqual(next.part, one.part);
});

test("the next part is made once the one before is closed", async () => {
  const parts = new ProcessParts();
  const events: string[] = [];
  let finishClosing = (): void => undefined;
  const slow = {
    close: () =>
      new Promise<void>((resolve) => {
        finishClosing = () => {
          events.push("closed");
          resolve();
        };
      }),
  };
  const first = await parts.borrow("key", () => Promise.resolve(slow));
  const ended = first.giveBack();
  const second = parts.borrow("key", () => {
    events.push("made");
    return Promise.resolve(new Part());
  });
  await Promise.resolve();
  finishClosing();
  await ended;
  await second;
  assert.deepEqual(events, ["closed", "made"]);
});

test("a part that could not be made is made anew for whoever asks next", async () => {
  const parts = new ProcessParts();
  const fail = (): Promise<Part> => Promise.reject(new Error("no"));
  const tries = await Promise.allSettled([parts.borrow("key", fail), parts.borrow("key", fail)]);
  assert.deepEqual(
    tries.map(({ status }) => status),
    ["rejected", "rejected"],
  );
  const borrowed = await parts.borrow("key", () => Promise.resolve(new Part()));
  assert.equal(borrowed.part.isClosed, false);
});
