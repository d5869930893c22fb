import type { RetrySpec } from "./resiliency-spec.ts";

/** The policy of the built-in retries between sidecars; a Resiliency document may define it anew (A3). */
export const BUILT_IN_SERVICE_RETRIES = "DaprBuiltInServiceRetries";

/** What it is where none does: three retries, a second apart. */
export const DEFAULT_SERVICE_RETRIES: RetrySpec = Object.freeze({
  policy: "constant",
  durationMs: 1000,
  maxIntervalMs: 60_000,
  maxRetries: 3,
  matching: undefined,
});
