import { messageOf, SetupError } from "../../core/errors.ts";
import { ResiliencyPolicies } from "../../resiliency/resiliency-policies.ts";
import { compileTrip } from "../../resiliency/trip-expression.ts";
import type { ResiliencySpec } from "../../resources/resiliency-spec.ts";
import type { ResourceSurroundings } from "./load-resources.ts";

/**
 * The policies of one app. As in daprd, a document with a mistake in it is told and left out; what it said `before` goes on
 * to hold.
 */
export function loadPolicies(
  specs: readonly ResiliencySpec[],
  { clock, log, metrics }: ResourceSurroundings,
  before?: ResiliencyPolicies,
): ResiliencyPolicies {
  const observer = metrics?.resiliency;
  const usable = specs.flatMap((spec) => {
    try {
      for (const [name, { trip }] of spec.circuitBreakers) refuseBadTrip(spec, name, trip);
      return [spec];
    } catch (error) {
      const kept = before?.specs.filter(({ name }) => name === spec.name) ?? [];
      const instead = kept.length === 0 ? "which was skipped" : "and what it said before stays in use";
      log.warn(`Could not read resiliency policy ${spec.name}, ${instead}: ${messageOf(error)}`);
      return kept;
    }
  });
  for (const { name } of usable) observer?.loaded(name);
  return new ResiliencyPolicies({
    specs: usable,
    compileTrip,
    clock,
    observer,
    before,
    onBreakerChange: (target, to) => {
      const endpoint = target.kind === "app" ? target.endpoint : target.direction;
      log.warn("a circuit breaker has changed its state", { target: target.name, endpoint, state: to });
    },
  });
}

/** @throws {SetupError} naming file, line and field. */
function refuseBadTrip(spec: ResiliencySpec, name: string, trip: string): void {
  try {
    compileTrip(trip);
  } catch (cause) {
    const place = spec.placeOf(["spec", "policies", "circuitBreakers", name, "trip"]);
    throw new SetupError(`${place}: ${messageOf(cause)}`, { cause });
  }
}
