import assert from "node:assert/strict";
import { test } from "node:test";
import { metadataWith } from "../../../../test/support/component-metadata.ts";
import { testSecretStoreContract } from "../../../../test/support/secret-store-contract.ts";
import { LocalEnvSecretStore } from "./local-env-secret-store.ts";

testSecretStoreContract("local.env", {
  create: () => new LocalEnvSecretStore({ there: "yes" }),
  usable: await metadataWith({}),
  unusable: undefined,
});

test("a variable is found behind the prefix, and named without it", async () => {
  const store = new LocalEnvSecretStore({ MY_KEY: "k", KEY: "other" });
  await store.init(await metadataWith({ prefix: "MY_" }));
  assert.deepEqual(await store.secret("KEY"), new Map([["KEY", "k"]]));
  assert.equal(await store.secret("MY_KEY"), undefined);
});

test("what opens the sidecar and the app is given to nobody, with a prefix neither", async () => {
  const env = { APP_API_TOKEN: "a", DAPR_API_TOKEN: "b", dapr_api_token: "c" };
  const store = new LocalEnvSecretStore(env);
  await store.init(await metadataWith({}));
  for (const name of Object.keys(env)) assert.equal(await store.secret(name), undefined, name);
  const prefixed = new LocalEnvSecretStore(env);
  await prefixed.init(await metadataWith({ prefix: "DAPR_API_" }));
  assert.equal(await prefixed.secret("TOKEN"), undefined);
});
