import assert from "node:assert/strict";
import { test } from "node:test";
import { CallAbort } from "../core/call-signal.ts";
import { LONGEST_TIMER_MS } from "../core/clock.ts";
import { systemClock } from "./system-clock.ts";

test("a wait longer than Node's timers know is a long one, and can be called off", async () => {
  const abort = new CallAbort();
  const long = systemClock.sleep(2 ** 40, abort).then(() => "over");
  const short = systemClock.sleep(20).then(() => "still waiting");
  assert.equal(await Promise.race([long, short]), "still waiting");
  abort.abort(new Error("called off"));
  await assert.rejects(long, /called off/);
});

test("a wait longer than Node's timers know does not end with the longest of them", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const abort = new CallAbort();
  let isOver = false;
  const long = systemClock.sleep(2 * LONGEST_TIMER_MS, abort).then(() => {
    isOver = true;
  });
  t.mock.timers.tick(LONGEST_TIMER_MS);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(isOver, false);
  abort.abort(new Error("called off"));
  await assert.rejects(long, /called off/);
});
