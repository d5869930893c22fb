import * as z from "zod";
import { parseGoDuration } from "../core/go-duration.ts";
import { nearestName } from "../core/nearest-name.ts";
import { BUILT_IN_SERVICE_RETRIES } from "./built-in-retries.ts";
import { checkDocument, ResourceError, type YamlDocument } from "./yaml-file.ts";

/** A `kind: Resiliency` resource, checked: policies by name, and what they are for (A3). */
export interface ResiliencySpec {
  readonly name: string;
  /** Undefined where the document does not say. */
  readonly namespace: string | undefined;
  /** App ids; empty for all. */
  readonly scopes: readonly string[];
  /** Milliseconds. */
  readonly timeouts: ReadonlyMap<string, number>;
  readonly retries: ReadonlyMap<string, RetrySpec>;
  readonly circuitBreakers: ReadonlyMap<string, CircuitBreakerSpec>;
  /** Apps and HTTP endpoints, by their name. */
  readonly apps: ReadonlyMap<string, AppPolicyNames>;
  readonly components: ReadonlyMap<string, ComponentPolicyNames>;
  /** What is written in it and does nothing, or something else. */
  readonly notes: readonly string[];
  /** `file:line: path` of a field, for error texts. */
  placeOf(path: readonly string[]): string;
}

export interface RetrySpec {
  readonly policy: "constant" | "exponential";
  /** The pause of a constant policy. */
  readonly durationMs: number;
  /** The longest pause of an exponential one. */
  readonly maxIntervalMs: number;
  /** Infinite for `-1`. */
  readonly maxRetries: number;
  /** Which failures with a code are tried again; undefined: all of them. */
  readonly matching: RetryMatching | undefined;
}

export interface RetryMatching {
  readonly http: readonly CodeRange[] | undefined;
  readonly grpc: readonly CodeRange[] | undefined;
}

export interface CodeRange {
  readonly from: number;
  readonly to: number;
}

export interface CircuitBreakerSpec {
  /** How many may be tried while it is half open. */
  readonly maxRequests: number;
  /** After which the counts of a closed one begin anew; 0: never. */
  readonly intervalMs: number;
  /** How long it stays open. */
  readonly timeoutMs: number;
  /** In CEL, over `requests`, `totalSuccesses`, `totalFailures`, `consecutiveSuccesses` and `consecutiveFailures`. */
  readonly trip: string;
}

/** Names of policies of this document or of another one of the app's. */
export interface PolicyNames {
  readonly timeout?: string | undefined;
  readonly retry?: string | undefined;
  readonly circuitBreaker?: string | undefined;
}

export interface AppPolicyNames extends PolicyNames {
  /** How many circuit breakers are kept for the app, one for each method; undefined or 0: daprd's 100. */
  readonly circuitBreakerCacheSize?: number | undefined;
}

export interface ComponentPolicyNames {
  readonly inbound?: PolicyNames | undefined;
  readonly outbound?: PolicyNames | undefined;
}

// daprd's defaults (dapr/kit retry.DefaultConfig and its circuit breaker).
const DEFAULT_DURATION_MS = 5000;
const DEFAULT_MAX_INTERVAL_MS = 60_000;
const DEFAULT_OPEN_MS = 60_000;
const LEAST_BUILT_IN_RETRIES = 3;
const DEFAULT_TRIP = "consecutiveFailures > 5";

// As daprd reads them, a number alone is milliseconds.
const duration = z.union([z.string(), z.number()]).transform((written, context) => {
  const text = String(written);
  const ms = /^\d+$/.test(text) ? Number(text) : parseGoDuration(text);
  if (ms !== undefined && ms >= 0) return ms;
  context.addIssue(`"${text}" is no duration; write one as 500ms, 5s or 1m30s`);
  return z.NEVER;
});

const names = {
  timeout: z.string().optional(),
  retry: z.string().optional(),
  circuitBreaker: z.string().optional(),
};
const cacheSize = { circuitBreakerCacheSize: z.int().min(0).optional() };
const breakerScope = z.enum(["type", "id", "both"], { error: "say type, id or both" });
const actorTarget = z.strictObject({ ...names, ...cacheSize, circuitBreakerScope: breakerScope.optional() });

const schema = z.strictObject({
  apiVersion: z.literal("dapr.io/v1alpha1"),
  kind: z.literal("Resiliency"),
  version: z.string().optional(),
  metadata: z.looseObject({ name: z.string(), namespace: z.string().optional() }),
  scopes: z.array(z.string()).default([]),
  spec: z
    .strictObject({
      policies: z
        .strictObject({
          timeouts: z.record(z.string(), duration).default({}),
          retries: z
            .record(
              z.string(),
              z.strictObject({
                policy: z
                  .string()
                  .toLowerCase()
                  .pipe(z.enum(["constant", "exponential"], { error: "say constant or exponential" }))
                  .default("constant"),
                duration: duration.optional(),
                maxInterval: duration.optional(),
                maxRetries: z.int().min(-1).optional(),
                matching: z
                  .strictObject({
                    httpStatusCodes: codes(100, 599).optional(),
                    gRPCStatusCodes: codes(0, 16).optional(),
                  })
                  .optional(),
              }),
            )
            .default({}),
          circuitBreakers: z
            .record(
              z.string(),
              z.strictObject({
                maxRequests: z.int().min(0).optional(),
                interval: duration.optional(),
                timeout: duration.optional(),
                trip: z.string().optional(),
              }),
            )
            .default({}),
        })
        .prefault({}),
      targets: z
        .strictObject({
          apps: z.record(z.string(), z.strictObject({ ...names, ...cacheSize })).default({}),
          components: z
            .record(
              z.string(),
              z.strictObject({
                inbound: z.strictObject(names).optional(),
                outbound: z.strictObject(names).optional(),
              }),
            )
            .default({}),
          // Read, for documents that name them; Outrigger has no actors.
          actors: z.record(z.string(), actorTarget).default({}),
        })
        .prefault({}),
    })
    .prefault({}),
});

/** `500`, `500-599`, and several of these between commas. */
function codes(least: number, most: number) {
  return z.string().transform((text, context): readonly CodeRange[] => {
    const ranges = text.split(",").map((part) => {
      const [, from, to] = /^\s*(\d+)(?:\s*-\s*(\d+))?\s*$/.exec(part) ?? [];
      return { from: Number(from ?? Number.NaN), to: Number(to ?? from ?? Number.NaN) };
    });
    if (ranges.every(({ from, to }) => from >= least && to <= most && from <= to)) return ranges;
    context.addIssue(`"${text}" is no list of codes between ${least} and ${most}; write it as 429,500-599`);
    return z.NEVER;
  });
}

/** @throws {ResourceError} naming file, line and field. */
export function readResiliency(document: YamlDocument): ResiliencySpec {
  const { metadata, scopes, spec } = checkDocument(document, schema);
  const { timeouts, retries, circuitBreakers } = spec.policies;
  const { apps, components, actors } = spec.targets;
  return Object.freeze({
    name: metadata.name,
    namespace: metadata.namespace,
    scopes,
    timeouts: new Map(Object.entries(timeouts)),
    retries: new Map(Object.entries(retries).map(([name, retry]) => [name, toRetry(name, retry)])),
    circuitBreakers: new Map(Object.entries(circuitBreakers).map(([name, breaker]) => [name, toBreaker(breaker)])),
    apps: new Map(Object.entries(apps)),
    components: new Map(Object.entries(components)),
    notes: [...tooFewRetries(document, retries), ...aboutActors(document, Object.keys(actors))],
    placeOf: (path: readonly string[]) => placeOf(document, path),
  });
}

type Written = z.output<typeof schema>["spec"]["policies"];

function toRetry(name: string, written: Written["retries"][string]): RetrySpec {
  const { policy, duration: durationMs, maxInterval, maxRetries = -1, matching } = written;
  const limit = maxRetries < 0 ? Number.POSITIVE_INFINITY : maxRetries;
  return {
    policy,
    durationMs: durationMs ?? DEFAULT_DURATION_MS,
    maxIntervalMs: maxInterval ?? DEFAULT_MAX_INTERVAL_MS,
    // As in daprd, which counts "without end" among what is too few.
    maxRetries: name === BUILT_IN_SERVICE_RETRIES ? Math.max(LEAST_BUILT_IN_RETRIES, maxRetries) : limit,
    matching: matching === undefined ? undefined : { http: matching.httpStatusCodes, grpc: matching.gRPCStatusCodes },
  };
}

function toBreaker({ maxRequests, interval, timeout, trip }: Written["circuitBreakers"][string]): CircuitBreakerSpec {
  return {
    // As in gobreaker, none means one.
    maxRequests: Math.max(1, maxRequests ?? 1),
    intervalMs: interval ?? 0,
    timeoutMs: timeout === undefined || timeout === 0 ? DEFAULT_OPEN_MS : timeout,
    trip: trip ?? DEFAULT_TRIP,
  };
}

function tooFewRetries(document: YamlDocument, retries: Written["retries"]): string[] {
  const asked = retries[BUILT_IN_SERVICE_RETRIES]?.maxRetries ?? LEAST_BUILT_IN_RETRIES;
  if (asked >= LEAST_BUILT_IN_RETRIES) return [];
  const path = ["spec", "policies", "retries", BUILT_IN_SERVICE_RETRIES, "maxRetries"];
  const least = LEAST_BUILT_IN_RETRIES;
  return [`${placeOf(document, path)} is ${asked}, and ${least} is the least there; it was taken for ${least}`];
}

function aboutActors(document: YamlDocument, actors: readonly string[]): string[] {
  if (actors.length === 0) return [];
  return [`${placeOf(document, ["spec", "targets", "actors"])} has no effect: Outrigger has no actors`];
}

function placeOf(document: YamlDocument, path: readonly string[]): string {
  return `${document.file}:${document.lineOf(path)}: ${path.join(".")}`;
}

/**
 * @param all the documents for the app, whose policies are one set, as in daprd.
 * @throws {ResourceError} naming file, line and field of a target whose policy none of them has.
 */
export function refuseUnknownPolicies(
  document: YamlDocument,
  { apps, components }: ResiliencySpec,
  all: readonly ResiliencySpec[],
): void {
  for (const [app, target] of apps) refuseUnknownPolicy(document, all, ["apps", app], target);
  for (const [component, target] of components) {
    for (const direction of ["inbound", "outbound"] as const) {
      refuseUnknownPolicy(document, all, ["components", component, direction], target[direction] ?? {});
    }
  }
}

function refuseUnknownPolicy(
  document: YamlDocument,
  all: readonly ResiliencySpec[],
  target: readonly string[],
  { timeout, retry, circuitBreaker }: PolicyNames,
): void {
  for (const [field, name, known] of [
    ["timeout", timeout, all.flatMap(({ timeouts }) => [...timeouts.keys()])],
    ["retry", retry, [BUILT_IN_SERVICE_RETRIES, ...all.flatMap(({ retries }) => [...retries.keys()])]],
    ["circuitBreaker", circuitBreaker, all.flatMap(({ circuitBreakers }) => [...circuitBreakers.keys()])],
  ] as const) {
    if (name === undefined || name === "" || known.includes(name)) continue;
    const near = nearestName(name, known);
    const hint = near === undefined ? "" : `; did you mean "${near}"?`;
    const place = placeOf(document, ["spec", "targets", ...target, field]);
    throw new ResourceError(`${place}: there is no policy "${name}"${hint}`);
  }
}
