import type { RetrySpec } from "../resources/resiliency-spec.ts";

// Those of dapr/kit's exponential policy, which a Resiliency document cannot set.
const FIRST_INTERVAL_MS = 500;
const MULTIPLIER = 1.5;
const JITTER = 0.5;

type BackoffSpec = Pick<RetrySpec, "policy" | "durationMs" | "maxIntervalMs">;

/**
 * How long to wait before the retry with this number, counted from 0, in milliseconds. An exponential pause grows by half
 * each time, up to its longest, and is then stretched or shortened by up to half, so that callers that failed together do
 * not come back together.
 *
 * @param random between 0 and 1.
 */
export function pauseBefore(retry: number, spec: BackoffSpec, random: () => number): number {
  if (spec.policy === "constant") return spec.durationMs;
  const interval = Math.min(FIRST_INTERVAL_MS * MULTIPLIER ** retry, spec.maxIntervalMs);
  return interval * (1 - JITTER + 2 * JITTER * random());
}
