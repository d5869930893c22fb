import type { Clock } from "../core/clock.ts";
import { BUILT_IN_SERVICE_RETRIES, DEFAULT_SERVICE_RETRIES } from "../resources/built-in-retries.ts";
import type {
  AppPolicyNames,
  CircuitBreakerSpec,
  PolicyNames,
  ResiliencySpec,
  RetrySpec,
} from "../resources/resiliency-spec.ts";
import { type BreakerCounts, type BreakerState, CircuitBreaker } from "./circuit-breaker.ts";
import type { PolicyKind, PolicyObserver } from "./policy-observer.ts";

/** What applies to one call. */
export interface CallPolicy {
  /** Of each try; undefined: none. */
  readonly timeoutMs: number | undefined;
  readonly retry: RetrySpec | undefined;
  readonly breaker: CircuitBreaker | undefined;
  /** Told when a call is tried again, or its time has passed. */
  readonly onActivated?: ((kind: PolicyKind) => void) | undefined;
}

/** What a call or an operation is for. */
export type PolicyTarget =
  | {
      readonly kind: "app";
      /** An app id, or the name of an HTTP endpoint. */
      readonly name: string;
      /** What has a circuit breaker of its own below it: a method, a base URL. */
      readonly endpoint: string;
    }
  | {
      readonly kind: "component";
      readonly name: string;
      readonly type: "pubsub";
      readonly direction: "inbound" | "outbound";
    };

export interface ResiliencyPoliciesParts {
  /** Those for this app; of two with one name, the later holds. */
  readonly specs: readonly ResiliencySpec[];
  /** @throws {Error} where it is no expression over the counts. */
  readonly compileTrip: (expression: string) => (counts: BreakerCounts) => boolean;
  readonly clock: Clock;
  readonly onBreakerChange?: (target: PolicyTarget, to: BreakerState) => void;
  readonly observer?: PolicyObserver | undefined;
  /** What these replace: circuit breakers whose policies are the same go on as they are. */
  readonly before?: ResiliencyPolicies | undefined;
}

/** A circuit breaker, and by what policy it was made. */
interface KeptBreaker {
  readonly target: PolicyTarget;
  readonly spec: CircuitBreakerSpec;
  readonly breaker: CircuitBreaker;
}

// daprd's cache of circuit breakers has as many for each app.
const DEFAULT_BREAKERS = 100;
const BUILT_IN_RETRIES: readonly [string, RetrySpec][] = [[BUILT_IN_SERVICE_RETRIES, DEFAULT_SERVICE_RETRIES]];

/** Finds what policies are for a call: those its target is given by name, else the defaults, from the most specific on. */
export class ResiliencyPolicies {
  readonly #parts: ResiliencyPoliciesParts;
  readonly #timeouts: ReadonlyMap<string, number>;
  readonly #retries: ReadonlyMap<string, RetrySpec>;
  readonly #breakers: ReadonlyMap<string, CircuitBreakerSpec>;
  readonly #apps: ReadonlyMap<string, AppPolicyNames>;
  /** By target, then by what is below it, the one used longest ago first. */
  readonly #kept = new Map<string, Map<string, KeptBreaker>>();

  constructor(parts: ResiliencyPoliciesParts) {
    this.#parts = parts;
    this.#timeouts = merged(parts.specs, (spec) => spec.timeouts);
    this.#retries = new Map([...BUILT_IN_RETRIES, ...merged(parts.specs, (spec) => spec.retries)]);
    this.#breakers = merged(parts.specs, (spec) => spec.circuitBreakers);
    this.#apps = merged(parts.specs, (spec) => spec.apps);
    if (parts.before !== undefined) this.#takeOver(parts.before);
  }

  /** What they were made of. */
  get specs(): readonly ResiliencySpec[] {
    return this.#parts.specs;
  }

  /** Whether a document names the target: then the built-in retries are off (A3). */
  names(target: PolicyTarget): boolean {
    return this.#named(target) !== undefined;
  }

  /** Between sidecars, of calls to apps that no document names (A3). */
  get builtInServiceRetries(): RetrySpec {
    return this.#retries.get(BUILT_IN_SERVICE_RETRIES) ?? DEFAULT_SERVICE_RETRIES;
  }

  /** Undefined where nothing applies. */
  policyFor(target: PolicyTarget): CallPolicy | undefined {
    const { timeout, retry, circuitBreaker } = this.#namesFor(target);
    const policy = {
      target,
      timeoutMs: timeout === undefined ? undefined : this.#timeoutMs(timeout),
      retry: retry === undefined ? undefined : this.#retries.get(retry),
      breaker: circuitBreaker === undefined ? undefined : this.#breakerOf(target, circuitBreaker),
    };
    const isEmpty = policy.timeoutMs === undefined && policy.retry === undefined && policy.breaker === undefined;
    return isEmpty ? undefined : this.#observed(target, policy);
  }

  /** 0 means none, as in daprd. */
  #timeoutMs(name: string): number | undefined {
    const ms = this.#timeouts.get(name);
    return ms === 0 ? undefined : ms;
  }

  #observed(target: PolicyTarget, policy: CallPolicy): CallPolicy {
    const { observer } = this.#parts;
    if (observer === undefined) return policy;
    const name = this.#name;
    if (policy.timeoutMs !== undefined) observer.applied(name, target, "timeout");
    if (policy.retry !== undefined) observer.applied(name, target, "retry");
    if (policy.breaker !== undefined) observer.applied(name, target, "circuitbreaker", policy.breaker.state);
    const onActivated = (kind: PolicyKind): void => {
      observer.activated(name, target, kind);
    };
    return { ...policy, onActivated };
  }

  get #name(): string {
    return this.#parts.specs.at(-1)?.name ?? "";
  }

  #namesFor(target: PolicyTarget): PolicyNames {
    return this.#named(target) ?? this.#defaults(target);
  }

  #named(target: PolicyTarget): PolicyNames | undefined {
    if (target.kind === "app") return this.#apps.get(target.name);
    const found = this.#parts.specs.findLast(({ components }) => components.has(target.name));
    return found?.components.get(target.name)?.[target.direction];
  }

  /** As in daprd, each of the three is looked for by itself. */
  #defaults(target: PolicyTarget): PolicyNames {
    const find = (kind: string, known: ReadonlyMap<string, unknown>): string | undefined =>
      [...specificities(target), ""].map((of) => `Default${of}${kind}Policy`).find((name) => known.has(name));
    return {
      timeout: find("Timeout", this.#timeouts),
      retry: find("Retry", this.#retries),
      circuitBreaker: find("CircuitBreaker", this.#breakers),
    };
  }

  #breakerOf(target: PolicyTarget, name: string): CircuitBreaker | undefined {
    const spec = this.#breakers.get(name);
    if (spec === undefined) return undefined;
    const kept = this.#group(target);
    const key = keyOf(target);
    const found = kept.get(key) ?? { target, spec, breaker: this.#newBreaker(target, spec) };
    // The one that is used is the last to be forgotten.
    kept.delete(key);
    kept.set(key, found);
    const [oldest] = kept.keys();
    if (kept.size > this.#mostBreakersOf(target) && oldest !== undefined) kept.delete(oldest);
    return found.breaker;
  }

  #group(target: PolicyTarget): Map<string, KeptBreaker> {
    const group = groupOf(target);
    const kept = this.#kept.get(group) ?? new Map<string, KeptBreaker>();
    this.#kept.set(group, kept);
    return kept;
  }

  #mostBreakersOf(target: PolicyTarget): number {
    const size = target.kind === "app" ? this.#apps.get(target.name)?.circuitBreakerCacheSize : undefined;
    // 0 means the default, as in daprd.
    return size === undefined || size === 0 ? DEFAULT_BREAKERS : size;
  }

  #newBreaker(target: PolicyTarget, spec: CircuitBreakerSpec): CircuitBreaker {
    const { clock, compileTrip, onBreakerChange, observer } = this.#parts;
    return new CircuitBreaker({ ...spec, trips: compileTrip(spec.trip) }, clock, (to) => {
      onBreakerChange?.(target, to);
      observer?.activated(this.#name, target, "circuitbreaker", to);
    });
  }

  #takeOver(before: ResiliencyPolicies): void {
    for (const [group, kept] of before.#kept) {
      const same = [...kept].filter(([, { target, spec }]) => {
        const name = this.#namesFor(target).circuitBreaker;
        return name !== undefined && sameBreaker(this.#breakers.get(name), spec);
      });
      if (same.length > 0) this.#kept.set(group, new Map(same));
    }
  }
}

function groupOf(target: PolicyTarget): string {
  return `${target.kind} ${target.name} ${target.kind === "app" ? "" : target.direction}`;
}

function keyOf(target: PolicyTarget): string {
  return target.kind === "app" ? target.endpoint : "";
}

function sameBreaker(spec: CircuitBreakerSpec | undefined, other: CircuitBreakerSpec): boolean {
  const { maxRequests, intervalMs, timeoutMs, trip } = other;
  return (
    spec?.maxRequests === maxRequests &&
    spec.intervalMs === intervalMs &&
    spec.timeoutMs === timeoutMs &&
    spec.trip === trip
  );
}

function specificities(target: PolicyTarget): string[] {
  if (target.kind === "app") return ["App"];
  const direction = target.direction === "inbound" ? "Inbound" : "Outbound";
  return [`PubsubComponent${direction}`, `Component${direction}`, "Component"];
}

function merged<T>(
  specs: readonly ResiliencySpec[],
  part: (spec: ResiliencySpec) => ReadonlyMap<string, T>,
): ReadonlyMap<string, T> {
  return new Map(specs.flatMap((spec) => [...part(spec)]));
}
