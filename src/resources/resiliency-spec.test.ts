import assert from "node:assert/strict";
import { test } from "node:test";
import { readResiliency } from "./resiliency-spec.ts";
import { parseYaml, ResourceError } from "./yaml-file.ts";

function read(spec: string) {
  const text = `apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata:\n  name: r\nscopes: [a]\nspec:\n${spec.replaceAll(/^/gm, "  ")}\n`;
  const [document] = parseYaml(text, "r.yaml");
  assert.ok(document);
  return readResiliency(document);
}

test("every field of Dapr's example is read", () => {
  const spec = read(`policies:
  timeouts: {general: 5s}
  retries:
    forever: {policy: exponential, maxInterval: 15s, maxRetries: -1}
    some: {policy: constant, duration: 1m30s, maxRetries: 10, matching: {httpStatusCodes: "429,500-599", gRPCStatusCodes: "14"}}
  circuitBreakers:
    simple: {maxRequests: 2, interval: 8s, timeout: 45s, trip: consecutiveFailures >= 8}
targets:
  apps: {appA: {timeout: general, retry: forever, circuitBreaker: simple, circuitBreakerCacheSize: 5000}}
  components: {store: {outbound: {retry: some}, inbound: {timeout: general}}}
  actors: {mine: {timeout: general, circuitBreakerScope: both}}`);
  assert.equal(spec.timeouts.get("general"), 5000);
  assert.deepEqual(spec.retries.get("forever"), {
    policy: "exponential",
    durationMs: 5000,
    maxIntervalMs: 15_000,
    maxRetries: Number.POSITIVE_INFINITY,
    matching: undefined,
  });
  assert.deepEqual(spec.retries.get("some")?.matching, {
    http: [
      { from: 429, to: 429 },
      { from: 500, to: 599 },
    ],
    grpc: [{ from: 14, to: 14 }],
  });
  assert.equal(spec.retries.get("some")?.durationMs, 90_000);
  assert.deepEqual(spec.circuitBreakers.get("simple"), {
    maxRequests: 2,
    intervalMs: 8000,
    timeoutMs: 45_000,
    trip: "consecutiveFailures >= 8",
  });
  assert.equal(spec.apps.get("appA")?.retry, "forever");
  assert.equal(spec.components.get("store")?.outbound?.retry, "some");
  assert.deepEqual(spec.scopes, ["a"]);
});

test("what is not said is as in daprd", () => {
  const spec = read("policies: {retries: {r: {}}, circuitBreakers: {c: {}}}");
  assert.deepEqual(spec.retries.get("r"), {
    policy: "constant",
    durationMs: 5000,
    maxIntervalMs: 60_000,
    maxRetries: Number.POSITIVE_INFINITY,
    matching: undefined,
  });
  assert.deepEqual(spec.circuitBreakers.get("c"), {
    maxRequests: 1,
    intervalMs: 0,
    timeoutMs: 60_000,
    trip: "consecutiveFailures > 5",
  });
});

for (const [spec, message] of [
  ["policies: {timeouts: {t: 5 minutes}}", /r\.yaml:7: spec\.policies\.timeouts\.t: "5 minutes" is no duration/],
  ["policies: {retries: {r: {policy: linear}}}", /say constant or exponential/],
  ["policies: {retries: {r: {maxRetry: 1}}}", /unknown field .*maxRetry"; did you mean "maxRetries"/],
  ["policies: {retries: {r: {matching: {httpStatusCodes: 5xx}}}}", /"5xx" is no list of codes between 100 and 599/],
  ["policies: {circuitBreakers: {c: {maxRequests: -1}}}", /maxRequests/],
  ["targets: {actors: {a: {circuitBreakerScope: all}}}", /say type, id or both/],
  ["targets: {apps: {a: {retrys: x}}}", /unknown field "spec\.targets\.apps\.a\.retrys"; did you mean "retry"/],
] as const) {
  test(`is refused: ${spec}`, () => {
    assert.throws(
      () => read(spec),
      (error) => error instanceof ResourceError && message.test(error.message),
    );
  });
}

test("what daprd takes besides is taken: policies in any case, milliseconds without a unit", () => {
  const spec = read("policies: {timeouts: {t: '250', u: 250}, retries: {r: {policy: Exponential, maxInterval: 1500}}}");
  assert.deepEqual([...spec.timeouts.values()], [250, 250]);
  assert.deepEqual([spec.retries.get("r")?.policy, spec.retries.get("r")?.maxIntervalMs], ["exponential", 1500]);
});

test("the built-in retries are three at least, and who asks for fewer is told", () => {
  const of = (retry: string): ReturnType<typeof read> =>
    read(`policies: {retries: {DaprBuiltInServiceRetries: ${retry}}}`);
  for (const [retry, retries, told] of [
    ["{}", 3, false],
    ["{maxRetries: 5}", 5, false],
    ["{maxRetries: 1}", 3, true],
    ["{maxRetries: -1}", 3, true],
  ] as const) {
    const { retries: found, notes } = of(retry);
    assert.deepEqual(
      [found.get("DaprBuiltInServiceRetries")?.maxRetries, notes.length],
      [retries, told ? 1 : 0],
      retry,
    );
  }
});

test("policies for actors are told to have no effect", () => {
  const { notes } = read("targets: {actors: {a: {circuitBreakerScope: both}}}");
  assert.deepEqual(notes, ["r.yaml:7: spec.targets.actors has no effect: Outrigger has no actors"]);
});
