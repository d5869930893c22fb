import { type AbortListener, abortReason, type CallSignal } from "../core/call-signal.ts";

/**
 * What comes of `work`, for as long as somebody waits: where the signal fires first, rejects with its reason, and the work goes
 * on by itself.
 */
export function unlessAborted<Result>(work: Promise<Result>, signal: CallSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    const listener: AbortListener = {
      handleEvent: () => {
        reject(abortReason(signal));
      },
    };
    if (signal.aborted) listener.handleEvent();
    else signal.addEventListener("abort", listener);
    const leave = (): void => {
      signal.removeEventListener("abort", listener);
    };
    work.finally(leave).then(resolve, reject);
  });
}
