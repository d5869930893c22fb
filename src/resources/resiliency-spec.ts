import * as z from "zod";
import { parseGoDuration } from "../core/go-duration.ts";
import { nearestName } from "../core/nearest-name.ts";
import { checkDocument, ResourceError, type YamlDocument } from "./yaml-file.ts";

/** A `kind: Resiliency` resource, checked: policies by name, and what they are for (A3). */
export interface ResiliencySpec {
  readonly name: string;
  /** App ids; empty for all. */
  readonly scopes: readonly string[];
  /** Milliseconds. */
  readonly timeouts: ReadonlyMap<string, number>;
  readonly retries: ReadonlyMap<string, RetrySpec>;
  readonly circuitBreakers: ReadonlyMap<string, CircuitBreakerSpec>;
  /** Apps and HTTP endpoints, by their name. */
  readonly apps: ReadonlyMap<string, PolicyNames>;
  readonly components: ReadonlyMap<string, ComponentPolicyNames>;
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

/** Names of policies of the same document. */
export interface PolicyNames {
  readonly timeout?: string | undefined;
  readonly retry?: string | undefined;
  readonly circuitBreaker?: string | undefined;
}

export interface ComponentPolicyNames {
  readonly inbound?: PolicyNames | undefined;
  readonly outbound?: PolicyNames | undefined;
}

// daprd's defaults (dapr/kit retry.DefaultConfig and its circuit breaker).
const DEFAULT_DURATION_MS = 5000;
const DEFAULT_MAX_INTERVAL_MS = 60_000;
const DEFAULT_OPEN_MS = 60_000;
const DEFAULT_TRIP = "consecutiveFailures > 5";

const duration = z.string().transform((text, context) => {
  const ms = parseGoDuration(text);
  if (ms !== undefined && ms >= 0) return ms;
  context.addIssue(`"${text}" is no duration; write one as 500ms, 5s or 1m30s`);
  return z.NEVER;
});

const names = {
  timeout: z.string().optional(),
  retry: z.string().optional(),
  circuitBreaker: z.string().optional(),
};
const cacheSize = { circuitBreakerCacheSize: z.int().optional() };
const actorTarget = z.strictObject({ ...names, ...cacheSize, circuitBreakerScope: z.string().optional() });

const schema = z.strictObject({
  apiVersion: z.literal("dapr.io/v1alpha1"),
  kind: z.literal("Resiliency"),
  version: z.string().optional(),
  metadata: z.looseObject({ name: z.string() }),
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
                  .enum(["constant", "exponential"], { error: "say constant or exponential" })
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

/**
 * @throws {ResourceError} naming file, line and field; also for a target whose policy there is not.
 */
export function readResiliency(document: YamlDocument): ResiliencySpec {
  const { metadata, scopes, spec } = checkDocument(document, schema);
  const { timeouts, retries, circuitBreakers } = spec.policies;
  const { apps, components } = spec.targets;
  const result: ResiliencySpec = {
    name: metadata.name,
    scopes,
    timeouts: new Map(Object.entries(timeouts)),
    retries: new Map(Object.entries(retries).map(([name, retry]) => [name, toRetry(retry)])),
    circuitBreakers: new Map(Object.entries(circuitBreakers).map(([name, breaker]) => [name, toBreaker(breaker)])),
    apps: new Map(Object.entries(apps)),
    components: new Map(Object.entries(components)),
  };
  for (const [app, target] of result.apps) refuseUnknownPolicy(document, result, ["apps", app], target);
  for (const [component, target] of result.components) {
    for (const direction of ["inbound", "outbound"] as const) {
      refuseUnknownPolicy(document, result, ["components", component, direction], target[direction] ?? {});
    }
  }
  return Object.freeze(result);
}

type Written = z.output<typeof schema>["spec"]["policies"];

function toRetry(written: Written["retries"][string]): RetrySpec {
  const { policy, duration: durationMs, maxInterval, maxRetries = -1, matching } = written;
  return {
    policy,
    durationMs: durationMs ?? DEFAULT_DURATION_MS,
    maxIntervalMs: maxInterval ?? DEFAULT_MAX_INTERVAL_MS,
    maxRetries: maxRetries < 0 ? Number.POSITIVE_INFINITY : maxRetries,
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

function refuseUnknownPolicy(
  document: YamlDocument,
  { timeouts, retries, circuitBreakers }: ResiliencySpec,
  target: readonly string[],
  { timeout, retry, circuitBreaker }: PolicyNames,
): void {
  for (const [field, name, known] of [
    ["timeout", timeout, timeouts],
    ["retry", retry, retries],
    ["circuitBreaker", circuitBreaker, circuitBreakers],
  ] as const) {
    if (name === undefined || name === "" || known.has(name)) continue;
    const path = ["spec", "targets", ...target, field];
    const near = nearestName(name, [...known.keys()]);
    const hint = near === undefined ? "" : `; did you mean "${near}"?`;
    throw new ResourceError(
      `${document.file}:${document.lineOf(path)}: ${path.join(".")}: there is no policy "${name}"${hint}`,
    );
  }
}
