import { abortReason } from "../core/call-signal.ts";
import { type Clock, LONGEST_TIMER_MS } from "../core/clock.ts";

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(abortReason(signal));
        return;
      }
      const end = performance.now() + ms;
      const rest = (): void => {
        const left = end - performance.now();
        if (left > 0) timer = setTimeout(rest, Math.min(left, LONGEST_TIMER_MS));
        else over();
      };
      const over = (): void => {
        signal?.removeEventListener("abort", listener);
        resolve();
      };
      let timer = ms > LONGEST_TIMER_MS ? setTimeout(rest, LONGEST_TIMER_MS) : setTimeout(over, ms);
      const listener = {
        handleEvent: () => {
          clearTimeout(timer);
          reject(abortReason(signal));
        },
      };
      signal?.addEventListener("abort", listener);
    }),
};
