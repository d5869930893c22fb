import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { waitForPort } from "../../src/runtime/app-port.ts";
import { ownPort } from "../support/own-port.ts";

test("waiting for an app that does not come keeps nothing of the tries", async () => {
  const port = await ownPort();
  const ending = new AbortController();
  let listeners = 0;
  let tries = 0;
  const clock = {
    now: () => 0,
    monotonic: () => 0,
    sleep: (_: number, signal?: AbortSignal) => {
      listeners = getEventListeners(ending.signal, "abort").length;
      if (++tries === 20) ending.abort();
      return signal?.aborted === true ? Promise.reject(new Error("ended")) : Promise.resolve();
    },
  };
  await assert.rejects(waitForPort("127.0.0.1", port, clock, ending.signal), /ended/);
  assert.equal(tries, 20);
  assert.equal(listeners, 0);
});
