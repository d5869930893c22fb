import { abortReason } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(abortReason(signal));
        return;
      }
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", listener);
        resolve();
      }, ms);
      const listener = {
        handleEvent: () => {
          clearTimeout(timer);
          reject(abortReason(signal));
        },
      };
      signal?.addEventListener("abort", listener);
    }),
};
