import { abortReason } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";

// Node's timers know no longer wait, and take one for none. 24 days.
export const LONGEST_WAIT_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(abortReason(signal));
        return;
      }
      const timer = setTimeout(
        () => {
          signal?.removeEventListener("abort", listener);
          resolve();
        },
        Math.min(ms, LONGEST_WAIT_MS),
      );
      const listener = {
        handleEvent: () => {
          clearTimeout(timer);
          reject(abortReason(signal));
        },
      };
      signal?.addEventListener("abort", listener);
    }),
};
