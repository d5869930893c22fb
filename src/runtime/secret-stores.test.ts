import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../test/support/manual-clock.ts";
import type { SecretStore } from "../components/contract/secret-store.ts";
import { type ComponentSpec, readComponent } from "../resources/component-spec.ts";
import { parseYaml } from "../resources/yaml-file.ts";
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

/** Stores that have the secret "key" with the name of their component in it. */
function stores(init: () => Promise<void> = () => Promise.resolve()) {
  const clock = new ManualClock();
  const warnings: string[] = [];
  const closed: number[] = [];
  const silent = (): void => undefined;
  const log = { debug: silent, info: silent, error: silent, warn: (message: string) => warnings.push(message) };
  const create = (): SecretStore => ({
    init,
    secret: (name) => Promise.resolve(name === "key" ? new Map([["key", "hidden"]]) : undefined),
    close: () => {
      closed.push(1);
      return Promise.resolve();
    },
  });
  const entries = [{ type: TYPE, load: () => Promise.resolve({ type: TYPE, create }) }];
  return { all: new SecretStores(entries, { env: {}, clock, log }), clock, warnings, closed };
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
