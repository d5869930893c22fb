import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import type { ComponentMetadata } from "../../components/contract/component-metadata.ts";
import type { SecretStore, SecretStoreEntry } from "../../components/contract/secret-store.ts";
import { type ComponentSpec, readComponent } from "../../resources/component-spec.ts";
import { parseYaml } from "../../resources/yaml-file.ts";
import { SecretStores } from "./secret-stores.ts";

const TYPE = "secretstores.it";

function component(name: string, spec = "", type = TYPE): ComponentSpec {
  const [document] = parseYaml(
    `{apiVersion: dapr.io/v1alpha1, kind: Component, metadata: {name: ${name}}, spec: {type: ${type}${spec}}}`,
    "c.yaml",
  );
  assert.ok(document);
  return readComponent(document);
}

function quietly(env: NodeJS.ProcessEnv) {
  const warnings: string[] = [];
  const silent = (): void => undefined;
  const log = { debug: silent, info: silent, error: silent, warn: (message: string) => warnings.push(message) };
  return { env, clock: new ManualClock(), log, warnings };
}

/** Stores that have the secret "key" with the name of their component in it. */
function stores(init: () => Promise<void> = () => Promise.resolve()) {
  const { warnings, ...surroundings } = quietly({});
  const closed: number[] = [];
  const create = (): SecretStore => ({
    init,
    secret: (name) => Promise.resolve(name === "key" ? new Map([["key", "hidden"]]) : undefined),
    close: () => {
      closed.push(1);
      return Promise.resolve();
    },
  });
  const entries = [{ type: TYPE, load: () => Promise.resolve({ type: TYPE, create }) }];
  return { all: new SecretStores(entries, surroundings), clock: surroundings.clock, warnings, closed };
}

const source = { kind: "secret", name: "key", key: "key" } as const;
const user = (secretStore?: string) => ({ description: "HTTPEndpoint e in e.yaml", secretStore });

test("the one store that there is serves whoever names none; the one that is named serves who names it", async () => {
  const { all } = stores();
  await all.start([component("one")]);
  assert.equal(await all.values.valueOf(source, "header X", user()), "hidden");
  await all.start([component("two")]);
  assert.equal(await all.values.valueOf(source, "header X", user("two")), "hidden");
});

for (const [what, names, asked, message] of [
  ["none is there", [], undefined, /header X comes from a secret, and no secret store is loaded; add a Component/],
  [
    "several are there",
    ["one", "two"],
    undefined,
    /several secret stores are loaded \(one, two\); say which one in auth\.secretStore/,
  ],
  ["the named one is not", ["one"], "vault", /no secret store "vault" is loaded; there is one/],
] as const) {
  test(`who needs a secret is told where ${what}`, async () => {
    const { all } = stores();
    await all.start(names.map((name) => component(name)));
    await assert.rejects(all.values.valueOf(source, "header X", user(asked)), { name: "SetupError", message });
  });
}

test("a store of a type that there is not is skipped, and who needs it is told that it is why", async () => {
  const { all, warnings } = stores();
  await all.start([component("vault", "", "secretstores.hashicorp.vault"), component("one")]);
  assert.match(
    warnings[0] ?? "",
    /vault .*secretstores\.hashicorp\.vault, and was skipped; there are secretstores\.it/,
  );
  await assert.rejects(all.values.valueOf(source, "header X", user("vault")), {
    message: /the secret store "vault" is of type secretstores\.hashicorp\.vault, which there is not$/,
  });
  assert.equal(await all.values.valueOf(source, "header X", user()), "hidden");
});

test("one that is not ready in time is closed and stops the start", async () => {
  const { all, clock, closed } = stores(() => new Promise(() => undefined));
  const started = all.start([component("one", ", initTimeout: 2s")]);
  while (clock.sleeping === 0) await new Promise((resolve) => setImmediate(resolve));
  clock.advance(2000);
  await assert.rejects(started, { message: /Component one .*: it was not ready within its initTimeout, 2s/ });
  assert.equal(closed.length, 1);
});

/** A type of store that has one secret, "key", with the metadata field `says` for its value. */
function entryOf(type: string, closed: string[] = []): SecretStoreEntry {
  const create = () => {
    let says = "";
    return {
      init: (metadata: ComponentMetadata) => {
        says = metadata.get("says") ?? "";
        return says === "" ? Promise.reject(new Error("says is missing")) : Promise.resolve();
      },
      secret: (name: string) => Promise.resolve(name === "key" ? new Map([["key", says]]) : undefined),
      close: () => {
        closed.push(says);
        return Promise.resolve();
      },
    };
  };
  return { type, load: () => Promise.resolve({ type, create }) };
}

function specOf(name: string, says: string | undefined, more: Partial<ComponentSpec> = {}): ComponentSpec {
  return {
    name,
    namespace: undefined,
    type: "secretstores.test",
    version: "v1",
    metadata: says === undefined ? [] : [{ name: "says", source: { kind: "value", value: says } }],
    scopes: [],
    secretStore: undefined,
    ignoreErrors: false,
    initTimeoutMs: 5000,
    file: "stores.yaml",
    lineOf: () => 1,
    ...more,
  };
}

test("stores are asked by the names of their components, and closed once", async () => {
  const closed: string[] = [];
  const stores = new SecretStores([entryOf("secretstores.test", closed)], quietly({}));
  await stores.start([specOf("a", "from a"), specOf("b", "from b")]);
  const user = { description: "HTTPEndpoint ext", secretStore: "b" };
  assert.equal(await stores.values.valueOf(source, "header X", user), "from b");
  await stores.close();
  await stores.close();
  assert.deepEqual(closed, ["from a", "from b"]);
});

test("a store may take its own metadata from one before it, and from the environment", async () => {
  const stores = new SecretStores([entryOf("secretstores.test")], quietly({ SAYS: "from env" }));
  const fromEnv = [{ name: "says", source: { kind: "env", variable: "SAYS" } }] as const;
  const fromA = [{ name: "says", source }] as const;
  await stores.start([specOf("a", undefined, { metadata: fromEnv }), specOf("b", undefined, { metadata: fromA })]);
  const user = { description: "HTTPEndpoint ext", secretStore: "b" };
  assert.equal(await stores.values.valueOf(source, "header X", user), "from env");
  await stores.close();
});

test("a store that cannot be used stops the start and is named, unless its ignoreErrors says otherwise", async () => {
  const { warnings, ...surroundings } = quietly({});
  const stores = new SecretStores([entryOf("secretstores.test")], surroundings);
  await assert.rejects(
    stores.start([specOf("a", undefined)]),
    /^\w*:? ?Component a \(secretstores\.test\) in stores\.yaml: says is missing/,
  );
  await stores.start([specOf("a", undefined, { ignoreErrors: true }), specOf("b", "still there")]);
  assert.match(warnings.join(), /Component a .*says is missing; it was left out/);
  const user = { description: "HTTPEndpoint ext", secretStore: undefined };
  assert.equal(await stores.values.valueOf(source, "header X", user), "still there");
  await stores.close();
});
