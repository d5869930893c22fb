import type { BreakerState } from "./circuit-breaker.ts";
import type { PolicyTarget } from "./resiliency-policies.ts";

export type PolicyKind = "timeout" | "retry" | "circuitbreaker";

/** Told what policies do. Must not throw. */
export interface PolicyObserver {
  /** @param name of the Resiliency resource; of several, the last, as in daprd. */
  loaded(name: string): void;
  /** A call is made under a policy. @param state of a circuit breaker alone. */
  applied(name: string, target: PolicyTarget, kind: PolicyKind, state?: BreakerState): void;
  /** A call is tried again, its time has passed, or a circuit breaker has changed its state. */
  activated(name: string, target: PolicyTarget, kind: PolicyKind, state?: BreakerState): void;
}
