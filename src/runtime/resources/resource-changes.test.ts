import assert from "node:assert/strict";
import { test } from "node:test";
import type { ComponentSpec } from "../../resources/component-spec.ts";
import { NO_RESOURCES } from "../../resources/no-resources.ts";
import type { SubscriptionSpec } from "../../resources/subscription-spec.ts";
import { changesBetween } from "./resource-changes.ts";

/** What the log tells of resources that were read again. */

function subscription(name: string, changes: Partial<SubscriptionSpec> = {}): SubscriptionSpec {
  return {
    name,
    namespace: undefined,
    scopes: [],
    pubsub: "mem",
    topic: "orders",
    metadata: new Map([["rawPayload", "true"]]),
    rules: [],
    defaultPath: "/orders",
    deadLetterTopic: undefined,
    bulk: undefined,
    file: "sub.yaml",
    placeOfRule: () => "sub.yaml:1",
    ...changes,
  };
}

function pubsub(name: string, type: string): ComponentSpec {
  return {
    name,
    namespace: undefined,
    type,
    version: "v1",
    metadata: [],
    scopes: [],
    secretStore: undefined,
    ignoreErrors: false,
    initTimeoutMs: 5000,
    file: "mem.yaml",
    lineOf: () => 1,
  };
}

test("subscriptions and pub/sub components that came, went or are others than before", () => {
  const before = {
    ...NO_RESOURCES,
    pubsubs: [pubsub("mem", "pubsub.in-memory"), pubsub("old", "pubsub.in-memory")],
    subscriptions: [subscription("a"), subscription("b"), subscription("c")],
  };
  const after = {
    ...NO_RESOURCES,
    pubsubs: [pubsub("mem", "pubsub.redis"), pubsub("new", "pubsub.in-memory")],
    subscriptions: [
      subscription("a"),
      subscription("b", { metadata: new Map([["rawPayload", "false"]]) }),
      subscription("d"),
    ],
  };
  assert.deepEqual(changesBetween(before, after), [
    "Component mem changed",
    "Component new added",
    "Component old removed",
    "Subscription b changed",
    "Subscription d added",
    "Subscription c removed",
  ]);
  assert.deepEqual(changesBetween(after, after), []);
});
