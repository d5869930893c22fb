import assert from "node:assert/strict";
import { test } from "node:test";
import type { SecretStore } from "../../components/contract/secret-store.ts";
import { SetupError } from "../../core/errors.ts";
import { SecretValues } from "./secret-values.ts";

function storeOf(secrets: Readonly<Record<string, Readonly<Record<string, string>>>>): SecretStore {
  return {
    init: () => Promise.resolve(),
    secret: (name) => {
      const secret = secrets[name];
      return Promise.resolve(secret === undefined ? undefined : new Map(Object.entries(secret)));
    },
    close: () => Promise.resolve(),
  };
}

const one = storeOf({ tls: { "ca.crt": "CA", "tls.crt": "CERT" } });
const broken: SecretStore = { ...one, secret: () => Promise.reject(new Error("it is locked")) };
const user = (secretStore?: string) => ({ description: "HTTPEndpoint ext in ext.yaml", secretStore });

async function secret(
  stores: Readonly<Record<string, SecretStore>>,
  name: string,
  key: string,
  named?: string,
): Promise<string> {
  const values = new SecretValues(new Map(Object.entries(stores)), {});
  return values.valueOf({ kind: "secret", name, key }, "header X", user(named));
}

test("a value stands in the document, in a secret, or in the environment", async () => {
  const values = new SecretValues(new Map([["one", one]]), { MY_KEY: "k", EMPTY: "" });
  assert.equal(await values.valueOf({ kind: "value", value: "v" }, "header X", user()), "v");
  assert.equal(await values.valueOf({ kind: "secret", name: "tls", key: "ca.crt" }, "header X", user()), "CA");
  assert.equal(await values.valueOf({ kind: "env", variable: "MY_KEY" }, "header X", user()), "k");
  assert.equal(await values.valueOf({ kind: "env", variable: "EMPTY" }, "header X", user()), "");
});

test("the store that is named serves, or the only one that there is", async () => {
  const other = storeOf({ tls: { "ca.crt": "other" } });
  assert.equal(await secret({ one, other }, "tls", "ca.crt", "other"), "other");
  assert.equal(await secret({ one }, "tls", "ca.crt"), "CA");
});

for (const [what, calling, message] of [
  [
    "no store",
    () => secret({}, "tls", "ca.crt"),
    /comes from a secret, and no secret store is loaded; add a Component/,
  ],
  [
    "several stores",
    () => secret({ one, broken }, "tls", "ca.crt"),
    /several secret stores are loaded \(one, broken\); say which one in auth\.secretStore/,
  ],
  [
    "a store of another name",
    () => secret({ one }, "tls", "x", "two"),
    /no secret store "two" is loaded; there is one/,
  ],
  ["a store that is named where there is none", () => secret({}, "tls", "x", "two"), /"two" is loaded; there is none/],
  ["no such secret", () => secret({ one }, "nope", "x"), /the secret store one has no secret "nope"/],
  [
    "no such key",
    () => secret({ one }, "tls", "x"),
    /the secret "tls" of one has no key "x", but "ca\.crt", "tls\.crt"/,
  ],
  ["a store that fails", () => secret({ broken }, "tls", "x"), /the secret store broken cannot be read: it is locked/],
] as const) {
  test(`${what} is an error that names the resource, the field and what is missing`, async () => {
    await assert.rejects(calling, (error: Error) => {
      assert.ok(error instanceof SetupError);
      assert.match(error.message, /^HTTPEndpoint ext in ext\.yaml: header X/);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /CA|CERT/);
      return true;
    });
  });
}

test("a variable that is not set, and one that opens the app or the sidecar, is an error", async () => {
  const values = new SecretValues(new Map(), { APP_API_TOKEN: "hidden", DAPR_API_TOKEN: "hidden" });
  await assert.rejects(
    values.valueOf({ kind: "env", variable: "NOPE" }, "header X", user()),
    /the environment variable NOPE is not set; set it/,
  );
  for (const variable of ["APP_API_TOKEN", "DAPR_API_TOKEN", "app_api_token"]) {
    await assert.rejects(values.valueOf({ kind: "env", variable }, "header X", user()), /is not given to resources/);
  }
});
