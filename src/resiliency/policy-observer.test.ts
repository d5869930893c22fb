import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../test/support/manual-clock.ts";
import { abortReason, CallAbort } from "../core/call-signal.ts";
import type { ResiliencySpec } from "../resources/resiliency-spec.ts";
import type { PolicyObserver } from "./policy-observer.ts";
import { runWithPolicy } from "./policy-runner.ts";
import { type CallPolicy, ResiliencyPolicies } from "./resiliency-policies.ts";

const spec: ResiliencySpec = {
  name: "rules",
  namespace: undefined,
  notes: [],
  placeOf: () => "",
  scopes: [],
  timeouts: new Map([["fast", 50]]),
  retries: new Map([
    ["once", { policy: "constant", durationMs: 0, maxIntervalMs: 0, maxRetries: 1, matching: undefined }],
  ]),
  circuitBreakers: new Map([["cb", { maxRequests: 1, intervalMs: 0, timeoutMs: 1000, trip: "" }]]),
  apps: new Map([["shop", { timeout: "fast", retry: "once", circuitBreaker: "cb" }]]),
  components: new Map(),
};

test("an observer is told which policies a call is under, and each time that one of them acts", async () => {
  const told: string[] = [];
  const observer: PolicyObserver = {
    loaded: () => undefined,
    applied: (name, target, kind, state = "closed") => void told.push(`${name} ${target.name} ${kind} ${state}`),
    activated: (_name, _target, kind, state) => void told.push(`activated ${kind} ${state ?? ""}`.trim()),
  };
  const clock = new ManualClock();
  const compileTrip = () => (counts: { readonly consecutiveFailures: number }) => counts.consecutiveFailures >= 2;
  const policies = new ResiliencyPolicies({ specs: [spec], compileTrip, clock, observer });
  const policy: CallPolicy | undefined = policies.policyFor({ kind: "app", name: "shop", endpoint: "" });
  assert.ok(policy);
  assert.deepEqual(told.splice(0), [
    "rules shop timeout closed",
    "rules shop retry closed",
    "rules shop circuitbreaker closed",
  ]);
  const running = runWithPolicy<string>({
    policy,
    clock,
    signal: new CallAbort(),
    random: () => 0.5,
    attempt: (signal) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", {
          handleEvent: () => {
            reject(abortReason(signal));
          },
        });
        clock.advance(50);
      }),
    failureIn: () => undefined,
    failureOf: () => ({ code: undefined }),
    mayRepeat: () => true,
    discard: () => undefined,
    whenUsed: () => undefined,
  });
  const ended = assert.rejects(running, { name: "TimedOut" });
  for (let turns = 0; turns < 20; turns++) {
    await Promise.resolve();
    clock.advance(0);
  }
  await ended;
  assert.deepEqual(told, [
    "activated timeout",
    "activated retry",
    "activated timeout",
    "activated circuitbreaker open",
  ]);
});

test("without an observer a policy has nobody to tell", () => {
  const policies = new ResiliencyPolicies({ specs: [spec], compileTrip: () => () => false, clock: new ManualClock() });
  assert.equal(policies.policyFor({ kind: "app", name: "shop", endpoint: "" })?.onActivated, undefined);
});
