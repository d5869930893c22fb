import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { parseAppId, parseNamespace } from "../core/app-id.ts";
import { readAppResources } from "./app-resources.ts";

/** What the documents of resource folders come to, for the app `a` of the namespace `default`. */

const APP = { id: parseAppId("a"), namespace: parseNamespace("default") };

function folderWith(t: TestContext, files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-test-"));
  t.after(() => {
    rmSync(folder, { recursive: true });
  });
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

function endpoint(name: string, changes: { readonly metadata?: string; readonly more?: string } = {}): string {
  const { metadata = "", more = "" } = changes;
  return `apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata: {name: ${name}${metadata}}
spec: {baseUrl: "http://a"}
${more}
---
`;
}

function component(name: string, type: string, more = ""): string {
  return `apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: ${name}}
spec: {type: ${type}${more}}
---
`;
}

function resiliency(name: string, spec: string, metadata = ""): string {
  return `apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: {name: ${name}${metadata}}
spec: ${spec}
---
`;
}

function subscription(name: string, changes: { readonly spec?: string; readonly more?: string } = {}): string {
  const { spec = "route: /orders", more = "" } = changes;
  return `apiVersion: dapr.io/v1alpha1
kind: Subscription
metadata: {name: ${name}}
spec: {pubsubname: mem, topic: orders, ${spec}}
${more}
---
`;
}

const OTHER_NAMESPACE = { metadata: ", namespace: other" };

for (const [what, yaml, names] of [
  ["those without scopes", endpoint("x"), ["x"]],
  ["those that name the app", endpoint("x", { more: "scopes: [b, a]" }), ["x"]],
  ["not those for others", endpoint("x", { more: "scopes: [b]" }), []],
  ["those of the namespace", endpoint("x", { metadata: ", namespace: default" }), ["x"]],
  ["not those of another", endpoint("x", OTHER_NAMESPACE), []],
  ["two of one name, where one is another namespace's", endpoint("x") + endpoint("x", OTHER_NAMESPACE), ["x"]],
  ["two of one name, where one is for others", endpoint("x") + endpoint("x", { more: "scopes: [b]" }), ["x"]],
  ["nothing of an empty document", "---\n# nothing\n---\n", []],
  [
    "resiliency policies of the namespace alone",
    resiliency("r", "{}", ", namespace: other") + resiliency("s", "{}"),
    ["s"],
  ],
  [
    "components of our building blocks",
    component("s", "secretstores.local.env") + component("m", "middleware.http.x") + component("p", "pubsub.x"),
    ["s", "m", "p"],
  ],
  [
    "subscriptions without scopes, and those that name it",
    subscription("x") + subscription("y", { more: "scopes: [a]" }) + subscription("z", { more: "scopes: [b]" }),
    ["x", "y"],
  ],
  ["not the pub/sub components of others", component("p", "pubsub.x").replace("---", "scopes: [b]\n---"), []],
] as const) {
  test(`the app gets ${what}`, (t) => {
    const {
      endpoints,
      secretStores,
      middleware,
      pubsubs,
      subscriptions,
      resiliency: policies,
    } = readAppResources([folderWith(t, { "r.yaml": yaml })], APP);
    const found = [endpoints, secretStores, middleware, pubsubs, subscriptions, policies]
      .flat()
      .map(({ name }) => name);
    assert.deepEqual(found, names);
  });
}

test("several folders are read in their order; what is no YAML file of the folder itself is not", (t) => {
  const one = folderWith(t, { "b.yml": endpoint("b"), "a.YAML": endpoint("a"), "nested/c.yaml": endpoint("c") });
  const two = folderWith(t, { "d.yaml": endpoint("d"), "e.json": "{", "f.yaml.bak": "{", "g.yaml/h": "{" });
  symlinkSync("editor@host.1", join(two, ".#d.yaml"));
  assert.deepEqual(
    readAppResources([one, two], APP).endpoints.map(({ name }) => name),
    ["a", "b", "d"],
  );
});

test("two of one name, in two folders, are refused with both their files", (t) => {
  const [one, two] = [folderWith(t, { "1.yaml": endpoint("x") }), folderWith(t, { "2.yaml": endpoint("x") })];
  assert.throws(() => readAppResources([one, two], APP), {
    message: `HTTPEndpoint x is defined in ${one}/1.yaml and once more in ${two}/2.yaml; remove one`,
  });
});

test("two subscriptions of one name are refused", (t) => {
  const folder = folderWith(t, { "1.yaml": subscription("x"), "2.yaml": subscription("x") });
  assert.throws(() => readAppResources([folder], APP), {
    message: `Subscription x is defined in ${folder}/1.yaml and once more in ${folder}/2.yaml; remove one`,
  });
});

for (const [what, yaml, message] of [
  [
    "a field that there is not",
    endpoint("x").replace("baseUrl", "baseURL"),
    /r\.yaml:4: unknown field "spec\.baseURL"; did you mean "baseUrl"\?$/,
  ],
  ["a slip in apiVersion", endpoint("x").replace("dapr.io", "dapr.oi"), /r\.yaml:1: apiVersion: .*dapr\.io\/v1alpha1/],
  [
    "a slip in kind",
    endpoint("x").replace("HTTPEndpoint", "HTTPEndpont"),
    /r\.yaml:2: kind: there is no kind "HTTPEndpont"; did you mean "HTTPEndpoint"\?$/,
  ],
  [
    "a slip in what the type of a component begins with",
    component("x", "midleware.http.bearer"),
    /r\.yaml:4: spec\.type: there is no type "midleware\.http\.bearer"; did you mean "middleware\.http\.bearer"\?$/,
  ],
  ["another version", endpoint("x").replace("v1alpha1", "v2"), /r\.yaml:1: apiVersion/],
  ["no apiVersion", endpoint("x").replace(/^.*\n/, ""), /r\.yaml:1: apiVersion/],
  ["a broken document behind a good one", `${endpoint("x")}kind: [\n`, /r\.yaml:\d+: not valid YAML/],
  [
    "the first of two mistakes",
    endpoint("x").replace("http:", "ftp:") + endpoint("y").replace("spec", "specs"),
    /r\.yaml:4: spec\.baseUrl: "ftp:\/\/a" is no base URL/,
  ],
  [
    "a slip in a subscription",
    subscription("x", { spec: "rout: /orders" }),
    /r\.yaml:4: unknown field "spec\.rout"; did you mean "route"\?$/,
  ],
  ["a component without a type", component("x", '""'), /r\.yaml:4: spec\.type/],
  [
    "an initTimeout that is none",
    component("x", "secretstores.x", ", initTimeout: soon"),
    /r\.yaml:4: spec\.initTimeout: "soon" is no duration/,
  ],
] as const) {
  test(`refused with file and line: ${what}`, (t) => {
    assert.throws(() => readAppResources([folderWith(t, { "r.yaml": yaml })], APP), { name: "ResourceError", message });
  });
}

for (const [what, yaml, warning] of [
  [
    "a kind that there is not, and that is near to none",
    endpoint("x").replace("HTTPEndpoint", "MCPServer"),
    /^MCPServer x in .* was skipped: there is no kind "MCPServer"$/,
  ],
  [
    "a Configuration",
    "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\n",
    /^Configuration c in .* was skipped: give it with --config$/,
  ],
  [
    "a component of a building block that is not ours",
    component("s", "state.redis"),
    /^Component s state\.redis in .* is not supported/,
  ],
  [
    "a broken component that says ignoreErrors",
    component("s", "secretstores.x", ", ignoreErrors: true, versio: v1"),
    /^Component s in .* was left out, as its ignoreErrors says: .*:4: unknown field "spec\.versio"/,
  ],
  [
    "a broken Resiliency",
    resiliency("r", "{policies: {timeouts: {t: soon}}}"),
    /^Could not read resiliency policy r in .*r\.yaml, which was skipped: .*:4: .*"soon" is no duration/,
  ],
  [
    "a policy that no document has",
    resiliency("r", "{policies: {timeouts: {fast: 1s}}, targets: {apps: {a: {timeout: fats}}}}"),
    /^Could not read resiliency policy r .*:4: spec\.targets\.apps\.a\.timeout: there is no policy "fats"; did you mean "fast"\?$/,
  ],
] as const) {
  test(`told and left out: ${what}`, (t) => {
    const { warnings, ...resources } = readAppResources([folderWith(t, { "r.yaml": yaml })], APP);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? "", warning);
    assert.deepEqual(Object.values(resources).flat(), []);
  });
}

test("a target may name a policy of another document", (t) => {
  const yaml =
    resiliency("one", "{targets: {apps: {b: {timeout: fast, retry: DaprBuiltInServiceRetries}}}}") +
    resiliency("two", "{policies: {timeouts: {fast: 1s}}}");
  const { resiliency: policies, warnings } = readAppResources([folderWith(t, { "r.yaml": yaml })], APP);
  assert.deepEqual([policies.length, warnings], [2, []]);
});

test("what has a group of somebody else's is not ours", (t) => {
  const yaml =
    "apiVersion: core.oam.dev/v1beta1\nkind: Component\nmetadata: {name: x}\n---\napiVersion: apps/v1\nkind: Deployment\n";
  const { warnings, ...resources } = readAppResources([folderWith(t, { "r.yaml": yaml })], APP);
  assert.deepEqual([warnings, Object.values(resources).flat()], [[], []]);
});
