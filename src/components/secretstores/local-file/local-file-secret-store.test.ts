import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { metadataWith } from "../../../../test/support/component-metadata.ts";
import { folderWith } from "../../../../test/support/processes.ts";
import { testSecretStoreContract } from "../../../../test/support/secret-store-contract.ts";
import { LocalFileSecretStore } from "./local-file-secret-store.ts";

const TREE = {
  there: "yes",
  port: 6379,
  redis: { password: "p", hosts: ["a", "b"], deep: { er: true } },
  "tls-client": { "ca.crt": "CA" },
};
const folder = folderWith(
  { after },
  { "secrets.json": JSON.stringify(TREE), "broken.json": '{"a": "hidden"', "list.json": "[]" },
);
const file = join(folder, "component.yaml");

testSecretStoreContract("local.file", {
  create: () => new LocalFileSecretStore(),
  usable: await metadataWith({ secretsFile: "secrets.json" }, file),
  unusable: await metadataWith({}, file),
});

async function storeWith(fields: Readonly<Record<string, string>>): Promise<LocalFileSecretStore> {
  const store = new LocalFileSecretStore();
  await store.init(await metadataWith({ secretsFile: "secrets.json", ...fields }, file));
  return store;
}

test("what is nested is one secret for each value, named by the way to it", async () => {
  const store = await storeWith({});
  for (const [name, value] of [
    ["there", "yes"],
    ["port", "6379"],
    ["redis:password", "p"],
    ["redis:hosts:1", "b"],
    ["redis:deep:er", "true"],
  ] as const) {
    assert.deepEqual(await store.secret(name), new Map([[name, value]]));
  }
  assert.equal(await store.secret("redis"), undefined);
  assert.equal(
    (await (await storeWith({ nestedSeparator: "." })).secret("redis.password"))?.get("redis.password"),
    "p",
  );
});

test("multiValued: an object of the first level is one secret of several values", async () => {
  const store = await storeWith({ multiValued: "true" });
  assert.deepEqual(
    await store.secret("redis"),
    new Map([
      ["password", "p"],
      ["hosts:0", "a"],
      ["hosts:1", "b"],
      ["deep:er", "true"],
    ]),
  );
  assert.equal((await store.secret("tls-client"))?.get("ca.crt"), "CA");
  assert.deepEqual(await store.secret("there"), new Map([["there", "yes"]]));
});

test("a file that cannot be used is named, and nothing of it is shown", async () => {
  for (const [secretsFile, message] of [
    ["", /secretsFile is missing/],
    ["nowhere.json", /nowhere\.json cannot be read \(ENOENT\)/],
    ["broken.json", /broken\.json is no JSON object; write/],
    ["list.json", /list\.json is no JSON object; write/],
  ] as const) {
    await assert.rejects(storeWith({ secretsFile }), (error: Error) => {
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /hidden/);
      return true;
    });
  }
});

test("a path that is whole is taken as it is", async () => {
  const store = new LocalFileSecretStore();
  await store.init(await metadataWith({ secretsFile: join(folder, "secrets.json") }, "/elsewhere/component.yaml"));
  assert.equal((await store.secret("there"))?.get("there"), "yes");
});
