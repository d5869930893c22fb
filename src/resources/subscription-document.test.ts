import assert from "node:assert/strict";
import { test } from "node:test";
import { readSubscription } from "./subscription-document.ts";
import type { SubscriptionSpec } from "./subscription-spec.ts";
import { parseYaml } from "./yaml-file.ts";

/** `kind: Subscription`, both versions, as Dapr's reference describes them. */

function read(yaml: string): SubscriptionSpec {
  const [document] = parseYaml(yaml, "sub.yaml");
  assert.ok(document);
  return readSubscription(document);
}

function written(version: string, spec: string, more = ""): string {
  return `apiVersion: dapr.io/${version}\nkind: Subscription\nmetadata: {name: orders}\nspec:\n  pubsubname: mem\n  topic: orders\n${spec.replace(/^(?=.)/gm, "  ")}\n${more}`;
}

const v1 = (spec = "route: /orders", more = ""): SubscriptionSpec => read(written("v1alpha1", spec, more));
const v2 = (spec = "routes: {default: /orders}", more = ""): SubscriptionSpec => read(written("v2alpha1", spec, more));

test("of v1alpha1, its one route gets every event", () => {
  const spec = v1("route: /orders\ndeadLetterTopic: dead", "scopes: [shop, mail]");
  const saidSo = { ...spec, placeOfRule: undefined };
  assert.deepEqual(saidSo, {
    name: "orders",
    namespace: undefined,
    scopes: ["shop", "mail"],
    pubsub: "mem",
    topic: "orders",
    metadata: new Map(),
    rules: [],
    defaultPath: "/orders",
    deadLetterTopic: "dead",
    bulk: undefined,
    file: "sub.yaml",
    placeOfRule: undefined,
  });
});

test("of v2alpha1, the rules keep their order, and the default gets what none of them takes", () => {
  const { rules, defaultPath } = v2(
    "routes:\n  rules:\n  - {match: event.type == 'v1', path: /v1}\n  - {match: event.data.n > 5, path: /big}\n  default: /rest",
  );
  assert.deepEqual(rules, [
    { match: "event.type == 'v1'", path: "/v1" },
    { match: "event.data.n > 5", path: "/big" },
  ]);
  assert.equal(defaultPath, "/rest");
  assert.equal(v2("routes: {rules: [{match: 'true', path: /v1}]}").defaultPath, undefined);
});

test("a rule without a match is the default, and nothing gets to what stands behind it", () => {
  for (const empty of ["", "match: '', ", "match: ' ', ", "match: , "]) {
    const rules = `[{match: 'a', path: /a}, {${empty}path: all}, {match: 'b', path: /b}]`;
    const { rules: kept, defaultPath } = v2(`routes: {rules: ${rules}, default: /rest}`);
    assert.deepEqual([kept, defaultPath], [[{ match: "a", path: "/a" }], "/all"], empty);
  }
});

test("a route without a leading slash gets one, and none at all is the app's root", () => {
  assert.equal(v1("route: orders/new").defaultPath, "/orders/new");
  assert.equal(v1("").defaultPath, "/");
  const { rules, defaultPath } = v2("routes: {rules: [{match: 'a', path: a}], default: rest}");
  assert.deepEqual([rules[0]?.path, defaultPath], ["/a", "/rest"]);
});

test("values of metadata are words, with quotes or without", () => {
  const { metadata } = v2('routes: {default: /}\nmetadata: {rawPayload: true, size: 5, orderingKey: "event.subject"}');
  assert.deepEqual(Object.fromEntries(metadata), { rawPayload: "true", size: "5", orderingKey: "event.subject" });
});

for (const [bulk, expected] of [
  ["", undefined],
  ["bulkSubscribe: {maxMessagesCount: 5}", undefined],
  ["bulkSubscribe: {enabled: false, maxMessagesCount: 5}", undefined],
  ["bulkSubscribe: {enabled: true}", { maxMessages: 100, maxAwaitMs: 1000 }],
  ["bulkSubscribe: {enabled: true, maxMessagesCount: 5, maxAwaitDurationMs: 40}", { maxMessages: 5, maxAwaitMs: 40 }],
  [
    "bulkSubscribe: {enabled: true, maxMessagesCount: 0, maxAwaitDurationMs: -1}",
    { maxMessages: 100, maxAwaitMs: 1000 },
  ],
] as const) {
  test(`in bulk: ${bulk === "" ? "not unless it is said" : bulk}`, () => {
    assert.deepEqual(v1(`route: /\n${bulk}`).bulk, expected);
    assert.deepEqual(v2(`routes: {default: /}\n${bulk}`).bulk, expected);
  });
}

test("an empty dead letter topic is none", () => {
  assert.equal(v1('route: /\ndeadLetterTopic: ""').deadLetterTopic, undefined);
});

test("others can say where a rule stands", () => {
  const spec = v2("routes:\n  rules:\n  - match: a\n    path: /a\n  - path: /b\n    match: b");
  assert.equal(spec.placeOfRule(0), "sub.yaml:9: spec.routes.rules.0.match");
  assert.equal(spec.placeOfRule(1), "sub.yaml:12: spec.routes.rules.1.match");
});

for (const [what, yaml, message] of [
  ["a version that there is not", written("v1", "route: /"), /^sub\.yaml:1: apiVersion: say dapr\.io\/v2alpha1 or /],
  [
    "a slip in a field",
    written("v1alpha1", "rout: /"),
    /^sub\.yaml:7: unknown field "spec\.rout"; did you mean "route"\?$/,
  ],
  [
    "a slip in a rule",
    written("v2alpha1", "routes:\n  rules:\n  - macth: a\n    path: /a"),
    /^sub\.yaml:9: unknown field "spec\.routes\.rules\.0\.macth"; did you mean "match"\?$/,
  ],
  [
    "a slip in bulkSubscribe",
    written("v1alpha1", "route: /\nbulkSubscribe: {enable: true}"),
    /^sub\.yaml:8: unknown field "spec\.bulkSubscribe\.enable"; did you mean "enabled"\?$/,
  ],
  [
    "v1alpha1 with routes",
    written("v1alpha1", "routes: {default: /}"),
    /^sub\.yaml:7: spec\.routes: is for apiVersion dapr\.io\/v2alpha1; /,
  ],
  [
    "v2alpha1 with a route",
    written("v2alpha1", "route: /"),
    /^sub\.yaml:7: spec\.route: is for apiVersion dapr\.io\/v1alpha1; /,
  ],
  ["v2alpha1 without routes", written("v2alpha1", ""), /^sub\.yaml:4: spec\.routes: no route is given; /],
  [
    "routes that lead nowhere",
    written("v2alpha1", 'routes: {rules: [], default: ""}'),
    /^sub\.yaml:7: spec\.routes: no route is given; /,
  ],
  [
    "a rule without a path",
    written("v2alpha1", "routes:\n  rules:\n  - match: a"),
    /^sub\.yaml:9: spec\.routes\.rules\.0\.path: /,
  ],
  ["no topic", written("v1alpha1", "route: /").replace("  topic: orders\n", ""), /^sub\.yaml:4: spec\.topic: /],
  ["an empty pubsubname", written("v1alpha1", "").replace("mem", '""'), /^sub\.yaml:5: spec\.pubsubname: /],
  ["scopes within the spec", written("v1alpha1", "scopes: [a]"), /^sub\.yaml:7: unknown field "spec\.scopes"/],
  [
    "a list in metadata",
    written("v1alpha1", "metadata: {a: [b]}"),
    /^sub\.yaml:7: spec\.metadata\.a: a word is expected$/,
  ],
] as const) {
  test(`refused with file and line: ${what}`, () => {
    assert.throws(() => read(yaml), { name: "ResourceError", message });
  });
}
