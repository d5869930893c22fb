import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../test/support/manual-clock.ts";
import { readResiliency } from "../resources/resiliency-spec.ts";
import { parseYaml } from "../resources/yaml-file.ts";
import { type PolicyTarget, ResiliencyPolicies } from "./resiliency-policies.ts";

function policies(...specs: string[]): ResiliencyPolicies {
  return policiesAfter(undefined, ...specs);
}

function policiesAfter(before: ResiliencyPolicies | undefined, ...specs: string[]): ResiliencyPolicies {
  const documents = specs.flatMap((spec) =>
    parseYaml(`{apiVersion: dapr.io/v1alpha1, kind: Resiliency, metadata: {name: r}, spec: ${spec}}`, "r.yaml"),
  );
  return new ResiliencyPolicies({
    specs: documents.map(readResiliency),
    compileTrip: () => () => true,
    clock: new ManualClock(),
    before,
  });
}

const app = (name: string, endpoint = "m"): PolicyTarget => ({ kind: "app", name, endpoint });
const broker: PolicyTarget = { kind: "component", name: "broker", type: "pubsub", direction: "outbound" };

test("nothing applies where nothing is said", () => {
  assert.equal(policies().policyFor(app("a")), undefined);
  assert.equal(policies("{}").names(app("a")), false);
});

test("a target has the policies that it names, and of the defaults none", () => {
  const it = policies(
    "{policies: {timeouts: {fast: 1s, DefaultTimeoutPolicy: 9s}, retries: {DefaultRetryPolicy: {}}}, targets: {apps: {a: {timeout: fast}}}}",
  );
  const { timeoutMs, retry, breaker } = it.policyFor(app("a")) ?? {};
  assert.deepEqual([timeoutMs, retry, breaker], [1000, undefined, undefined]);
  assert.equal(it.names(app("a")), true);
  assert.equal(it.policyFor(app("b"))?.timeoutMs, 9000);
  assert.notEqual(it.policyFor(app("b"))?.retry, undefined);
  assert.equal(it.names(app("b")), false);
});

test("the most specific default holds", () => {
  const it = policies(
    "{policies: {timeouts: {DefaultTimeoutPolicy: 1s, DefaultAppTimeoutPolicy: 2s, DefaultComponentTimeoutPolicy: 3s, DefaultComponentOutboundTimeoutPolicy: 4s}}}",
  );
  assert.equal(it.policyFor(app("a"))?.timeoutMs, 2000);
  assert.equal(it.policyFor(broker)?.timeoutMs, 4000);
  assert.equal(it.policyFor({ ...broker, direction: "inbound" })?.timeoutMs, 3000);
});

test("of two documents the later holds, and each may name what the other defines by default", () => {
  const it = policies(
    "{policies: {timeouts: {t: 1s}}, targets: {apps: {a: {timeout: t}}}}",
    "{policies: {timeouts: {t: 2s}}}",
  );
  assert.equal(it.policyFor(app("a"))?.timeoutMs, 2000);
});

test("a timeout of 0 is none, as in daprd", () => {
  const it = policies(
    "{policies: {timeouts: {none: 0s}, retries: {r: {}}}, targets: {apps: {a: {timeout: none}, b: {timeout: none, retry: r}}}}",
  );
  assert.equal(it.policyFor(app("a")), undefined);
  assert.equal(it.policyFor(app("b"))?.timeoutMs, undefined);
});

test("each endpoint of a target has a circuit breaker of its own, and keeps it", () => {
  const it = policies(
    "{policies: {circuitBreakers: {cb: {}}}, targets: {apps: {a: {circuitBreaker: cb}, b: {circuitBreaker: cb}}}}",
  );
  const breakerOf = (target: PolicyTarget) => it.policyFor(target)?.breaker;
  const first = breakerOf(app("a", "one"));
  assert.ok(first);
  assert.equal(breakerOf(app("a", "one")), first);
  assert.notEqual(breakerOf(app("a", "two")), first);
  assert.notEqual(breakerOf(app("b", "one")), first);
  for (let i = 0; i < 99; i++) breakerOf(app("a", `other ${i}`));
  assert.notEqual(breakerOf(app("a", "one")), first, "forgotten behind a hundred others");
});

test("the built-in retries can be replaced by their name", () => {
  const { policy, durationMs, maxRetries } = policies("{}").builtInServiceRetries;
  assert.deepEqual([policy, durationMs, maxRetries], ["constant", 1000, 3]);
  const it = policies("{policies: {retries: {DaprBuiltInServiceRetries: {duration: 10ms, maxRetries: 5}}}}");
  assert.deepEqual([it.builtInServiceRetries.durationMs, it.builtInServiceRetries.maxRetries], [10, 5]);
});

test("an app may have more circuit breakers, or fewer, than the hundred that daprd keeps", () => {
  const it = policies(
    "{policies: {circuitBreakers: {cb: {}}}, targets: {apps: {a: {circuitBreaker: cb, circuitBreakerCacheSize: 2}}}}",
  );
  const breakerOf = (endpoint: string) => it.policyFor(app("a", endpoint))?.breaker;
  const first = breakerOf("one");
  breakerOf("two");
  assert.equal(breakerOf("one"), first);
  breakerOf("three");
  assert.equal(breakerOf("one"), first);
  breakerOf("four");
  breakerOf("five");
  assert.notEqual(breakerOf("one"), first);
});

test("circuit breakers whose policy is the same go over to the policies that replace theirs", () => {
  const spec = (trip: string): string =>
    `{policies: {circuitBreakers: {cb: {trip: ${trip}}}}, targets: {apps: {a: {circuitBreaker: cb}}}}`;
  const before = policies(spec("requests > 5"));
  const breaker = before.policyFor(app("a"))?.breaker;
  breaker?.enter()(false);
  assert.equal(breaker?.state, "open");
  const after = policiesAfter(before, spec("requests > 5"), "{policies: {timeouts: {DefaultTimeoutPolicy: 1s}}}");
  assert.equal(after.policyFor(app("a"))?.breaker, breaker);
  assert.equal(policiesAfter(after, spec("requests > 6")).policyFor(app("a"))?.breaker?.state, "closed");
});

test("a target may be given the built-in retries by their name", () => {
  const it = policies("{targets: {apps: {a: {retry: DaprBuiltInServiceRetries}}}}");
  assert.equal(it.policyFor(app("a"))?.retry?.maxRetries, 3);
});
