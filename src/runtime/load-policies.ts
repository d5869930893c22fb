import type { Clock } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import type { PolicyObserver } from "../resiliency/policy-observer.ts";
import { ResiliencyPolicies } from "../resiliency/resiliency-policies.ts";
import { compileTrip } from "../resiliency/trip-expression.ts";
import type { ResiliencySpec } from "../resources/resiliency-spec.ts";

/** The policies of one app. As in daprd, a document with a mistake in it is told and left out. */
export function loadPolicies(
  specs: readonly ResiliencySpec[],
  {
    clock,
    log,
    observer,
  }: { readonly clock: Clock; readonly log: Logger; readonly observer?: PolicyObserver | undefined },
): ResiliencyPolicies {
  const usable = specs.filter((spec) => {
    try {
      for (const { trip } of spec.circuitBreakers.values()) compileTrip(trip);
      return true;
    } catch (error) {
      log.warn(`Could not read resiliency policy ${spec.name}, which was skipped: trip: ${messageOf(error)}`);
      return false;
    }
  });
  for (const { name } of usable) observer?.loaded(name);
  return new ResiliencyPolicies({
    specs: usable,
    compileTrip,
    clock,
    observer,
    onBreakerChange: (target, to) => {
      const endpoint = target.kind === "app" ? target.endpoint : target.direction;
      log.warn("a circuit breaker has changed its state", { target: target.name, endpoint, state: to });
    },
  });
}
