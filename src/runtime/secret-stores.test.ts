import assert from "node:assert/strict";
import { test } from "node:test";
import type { ComponentMetadata } from "../components/contract/component-metadata.ts";
import type { SecretStoreEntry } from "../components/contract/secret-store.ts";
import type { Logger } from "../core/logger.ts";
import type { ComponentSpec } from "../resources/component-spec.ts";
import { SecretStores } from "./secret-stores.ts";

interface Told {
  readonly warnings: string[];
  readonly log: Logger;
}

function listen(): Told {
  const warnings: string[] = [];
  const ignore = (): void => undefined;
  return { warnings, log: { debug: ignore, info: ignore, warn: (text) => warnings.push(text), error: ignore } };
}

/** A type of store that has one secret, `name` under `key`, with the metadata field `says` for its value. */
function entryOf(type: string, closed: string[] = []): SecretStoreEntry {
  const create = () => {
    let says = "";
    return {
      init: (metadata: ComponentMetadata) => {
        says = metadata.get("says") ?? "";
        return says === "" ? Promise.reject(new Error("says is missing")) : Promise.resolve();
      },
      secret: (name: string) => Promise.resolve(name === "name" ? new Map([["key", says]]) : undefined),
      close: () => {
        closed.push(says);
        return Promise.resolve();
      },
    };
  };
  return { type, load: () => Promise.resolve({ type, create }) };
}

function component(name: string, says: string | undefined, more: Partial<ComponentSpec> = {}): ComponentSpec {
  return {
    name,
    namespace: undefined,
    type: "secretstores.test",
    version: "v1",
    metadata: says === undefined ? [] : [{ name: "says", source: { kind: "value", value: says } }],
    scopes: [],
    secretStore: undefined,
    ignoreErrors: false,
    file: "stores.yaml",
    lineOf: () => 1,
    ...more,
  };
}

const asked = { kind: "secret", name: "name", key: "key" } as const;

test("stores are asked by the names of their components, and closed once", async () => {
  const closed: string[] = [];
  const stores = new SecretStores([entryOf("secretstores.test", closed)], {}, listen().log);
  await stores.start([component("a", "from a"), component("b", "from b")]);
  const user = { description: "HTTPEndpoint ext", secretStore: "b" };
  assert.equal(await stores.values.valueOf(asked, "header X", user), "from b");
  await stores.close();
  await stores.close();
  assert.deepEqual(closed, ["from a", "from b"]);
});

test("a store may take its own metadata from one before it, and from the environment", async () => {
  const stores = new SecretStores([entryOf("secretstores.test")], { SAYS: "from env" }, listen().log);
  const fromEnv = [{ name: "says", source: { kind: "env", variable: "SAYS" } }] as const;
  const fromA = [{ name: "says", source: asked }] as const;
  await stores.start([
    component("a", undefined, { metadata: fromEnv }),
    component("b", undefined, { metadata: fromA }),
  ]);
  const user = { description: "HTTPEndpoint ext", secretStore: "b" };
  assert.equal(await stores.values.valueOf(asked, "header X", user), "from env");
  await stores.close();
});

test("a store that cannot be used stops the start and is named, unless its ignoreErrors says otherwise", async () => {
  const { warnings, log } = listen();
  const stores = new SecretStores([entryOf("secretstores.test")], {}, log);
  await assert.rejects(
    stores.start([component("a", undefined)]),
    /^\w*:? ?Component a \(secretstores\.test\) in stores\.yaml: says is missing/,
  );
  await stores.start([component("a", undefined, { ignoreErrors: true }), component("b", "still there")]);
  assert.match(warnings.join(), /Component a .*says is missing; it was left out/);
  const user = { description: "HTTPEndpoint ext", secretStore: undefined };
  assert.equal(await stores.values.valueOf(asked, "header X", user), "still there");
  await stores.close();
});

test("a component of a type that there is none of is skipped with a warning that names those that there are", async () => {
  const { warnings, log } = listen();
  const stores = new SecretStores([entryOf("secretstores.test")], {}, log);
  await stores.start([component("vault", "x", { type: "secretstores.hashicorp.vault" })]);
  assert.match(
    warnings.join(),
    /Component vault in stores\.yaml is of type secretstores\.hashicorp\.vault, and was skipped; there are secretstores\.test/,
  );
  await stores.close();
});
