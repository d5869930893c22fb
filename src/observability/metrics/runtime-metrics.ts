import type { SpiffeId } from "../../core/spiffe-id.ts";
import type { BreakerState } from "../../resiliency/circuit-breaker.ts";
import type { PolicyKind, PolicyObserver } from "../../resiliency/policy-observer.ts";
import type { PolicyTarget } from "../../resiliency/resiliency-policies.ts";
import type { Family } from "./family.ts";
import type { MetricRegistry } from "./registry.ts";
import type { Counter, Gauge } from "./slots.ts";

/** `dapr_runtime_component_*`. */
export class ComponentMetrics {
  readonly #loaded: Family<Counter>;
  readonly #started: Family<Counter>;
  readonly #failed: Family<Counter>;

  constructor(registry: MetricRegistry) {
    const name = (part: string): string => `runtime_component_${part}`;
    this.#loaded = registry.counter(name("loaded"), "Components that were loaded.");
    this.#started = registry.counter(name("init_total"), "Components that were initialised.", "component");
    this.#failed = registry.counter(name("init_fail_total"), "Components that were not.", "component", "reason");
  }

  /** @param type `secretstores.local.file`. */
  started(type: string): void {
    this.#loaded.slot().add();
    this.#started.slot(type).add();
  }

  failed(type: string): void {
    this.#failed.slot(type, "init").add();
  }
}

/** `dapr_runtime_acl_*`. As in daprd, `app_id` is that of the caller, empty where nothing proves who that is. */
export class AccessMetrics {
  readonly #byPolicy: readonly [blocked: Family<Counter>, allowed: Family<Counter>];
  readonly #byDefault: readonly [blocked: Family<Counter>, allowed: Family<Counter>];

  constructor(registry: MetricRegistry) {
    const both = (who: string, said: string) =>
      (["blocked", "allowed"] as const).map((what) =>
        registry.counter(
          `runtime_acl_${who}_policy_action_${what}_total`,
          `Calls ${what} by ${said}.`,
          ...["app_id", "namespace", "trustDomain"],
        ),
      ) as [Family<Counter>, Family<Counter>];
    this.#byPolicy = both("app", "the policy for their caller");
    this.#byDefault = both("global", "the default action");
  }

  judged(caller: SpiffeId | undefined, isByPolicy: boolean, isAllowed: boolean): void {
    const [, trustDomain = "", namespace = "", appId = ""] =
      /^spiffe:\/\/([^/]*)\/ns\/([^/]*)\/(.*)$/.exec(caller ?? "") ?? [];
    const [blocked, allowed] = isByPolicy ? this.#byPolicy : this.#byDefault;
    (isAllowed ? allowed : blocked).slot(appId, namespace, trustDomain).add();
  }
}

const LABELS = ["name", "namespace", "policy", "flow_direction", "target", "status"] as const;
// daprd's, "unknown" included.
const STATES = ["closed", "half-open", "open", "unknown"] as const;

/** `dapr_resiliency_*`. */
export class ResiliencyMetrics implements PolicyObserver {
  readonly #namespace: string;
  readonly #loaded: Family<Counter>;
  readonly #applied: Family<Counter>;
  readonly #activated: Family<Counter>;
  readonly #state: Family<Gauge>;

  constructor(registry: MetricRegistry, namespace: string) {
    this.#namespace = namespace;
    this.#loaded = registry.counter("resiliency_loaded", "Resiliency resources that were loaded.", "name", "namespace");
    this.#applied = registry.counter("resiliency_count", "Times that a policy was applied to a call.", ...LABELS);
    this.#activated = registry.counter(
      "resiliency_activations_total",
      "Times that a policy acted: a retry, a timeout that passed, a circuit breaker that changed its state.",
      ...LABELS,
    );
    this.#state = registry.gauge(
      "resiliency_cb_state",
      "1 for the state that a circuit breaker is in, 0 for the others.",
      ...LABELS,
    );
  }

  loaded(name: string): void {
    this.#loaded.slot(name, this.#namespace).add();
  }

  applied(name: string, target: PolicyTarget, kind: PolicyKind, state?: BreakerState): void {
    this.#applied.slot(...this.#labels(name, target, kind, state)).add();
    if (state !== undefined) this.#show(name, target, state);
  }

  activated(name: string, target: PolicyTarget, kind: PolicyKind, state?: BreakerState): void {
    this.#activated.slot(...this.#labels(name, target, kind, state)).add();
    if (state !== undefined) this.#show(name, target, state);
  }

  #show(name: string, target: PolicyTarget, now: BreakerState): void {
    for (const state of STATES) {
      this.#state.slot(...this.#labels(name, target, "circuitbreaker", state)).set(state === now ? 1 : 0);
    }
  }

  #labels(name: string, target: PolicyTarget, kind: PolicyKind, status = ""): string[] {
    const isApp = target.kind === "app";
    const direction = isApp ? "outbound" : target.direction;
    const place = isApp ? `app_${target.name}` : `${target.type}_${target.name}`;
    return [name, this.#namespace, kind, direction, place, status];
  }
}
