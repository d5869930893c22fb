import assert from "node:assert/strict";
import { test } from "node:test";
import { CallAbort, type CallSignal } from "./call-signal.ts";

/** What both a CallAbort and a real AbortSignal do for those who listen. */
const SIGNALS: readonly [string, () => { signal: CallSignal; abort: (reason: Error) => void }][] = [
  [
    "a CallAbort",
    () => {
      const abort = new CallAbort();
      return {
        signal: abort,
        abort: (reason) => {
          abort.abort(reason);
        },
      };
    },
  ],
  [
    "an AbortSignal",
    () => {
      const controller = new AbortController();
      return {
        signal: controller.signal,
        abort: (reason) => {
          controller.abort(reason);
        },
      };
    },
  ],
];

for (const [what, create] of SIGNALS) {
  test(`${what} tells each listener once, in the order in which they came, and none that has left`, () => {
    const { signal, abort } = create();
    const told: string[] = [];
    const listeners = ["first", "left", "last"].map((name) => ({ handleEvent: () => void told.push(name) }));
    for (const listener of listeners) signal.addEventListener("abort", listener);
    for (const listener of listeners.slice(1, 2)) signal.removeEventListener("abort", listener);
    assert.deepEqual([signal.aborted, signal.reason], [false, undefined]);
    const reason = new Error("gone");
    abort(reason);
    abort(new Error("again"));
    assert.deepEqual([signal.aborted, signal.reason, told], [true, reason, ["first", "last"]]);
  });

  test(`${what} that has fired tells nobody who comes later`, () => {
    const { signal, abort } = create();
    abort(new Error("gone"));
    signal.addEventListener("abort", { handleEvent: () => assert.fail("told too late") });
  });

  test(`${what} bears a listener that leaves while it is told`, () => {
    const { signal, abort } = create();
    const listener = {
      handleEvent: () => {
        signal.removeEventListener("abort", listener);
      },
    };
    signal.addEventListener("abort", listener);
    abort(new Error("gone"));
  });
}
