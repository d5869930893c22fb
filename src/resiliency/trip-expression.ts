import { celEnv, isCelError, parse, plan } from "@bufbuild/cel";
import type { BreakerCounts } from "./circuit-breaker.ts";

const NOTHING_YET: BreakerCounts = {
  requests: 0,
  totalSuccesses: 0,
  totalFailures: 0,
  consecutiveSuccesses: 0,
  consecutiveFailures: 0,
};

/**
 * Reads the `trip` of a circuit breaker: CEL over its counts, which are integers (kit's circuitbreaker.go).
 *
 * @returns what says whether it opens. Where the expression cannot be evaluated (it divides by a count that is 0) it does not.
 * @throws {Error} in words for its author, where it is no expression, speaks of something else, or is neither true nor false.
 */
export function compileTrip(expression: string): (counts: BreakerCounts) => boolean {
  const evaluate = planned(expression);
  const first = evaluate(bindings(NOTHING_YET));
  if (isCelError(first) && /unresolved|no such/.test(first.message)) {
    throw new Error(`"${expression}" speaks of something else than ${Object.keys(NOTHING_YET).join(", ")}`);
  }
  if (!isCelError(first) && typeof first !== "boolean") {
    throw new Error(`"${expression}" is neither true nor false; write a comparison as consecutiveFailures > 5`);
  }
  return (counts) => evaluate(bindings(counts)) === true;
}

function planned(expression: string): ReturnType<typeof plan> {
  try {
    return plan(celEnv(), parse(expression));
  } catch (cause) {
    throw new Error(`"${expression}" is no CEL expression: ${(cause as Error).message}`, { cause });
  }
}

function bindings(counts: BreakerCounts): Record<string, bigint> {
  return Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, BigInt(count as number)]));
}
