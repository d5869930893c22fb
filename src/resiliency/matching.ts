import type { CodeRange, RetrySpec } from "../resources/resiliency-spec.ts";

/** The code with which a try has failed, for `matching` of a retry policy; undefined where it has none. */
export type FailureCode =
  | { readonly protocol: "http"; readonly code: number }
  | { readonly protocol: "grpc"; readonly code: number };

/** Whether the policy tries again what has failed so. What has no code, or none of a protocol that the policy speaks of, it always does. */
export function matches({ matching }: RetrySpec, code: FailureCode | undefined): boolean {
  const ranges = code === undefined ? undefined : matching?.[code.protocol];
  return ranges === undefined || ranges.some((range) => isIn(range, code?.code ?? Number.NaN));
}

function isIn({ from, to }: CodeRange, code: number): boolean {
  return code >= from && code <= to;
}
