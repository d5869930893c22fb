import assert from "node:assert/strict";
import { test } from "node:test";
import type { ComponentMetadata } from "../../src/components/contract/component-metadata.ts";
import type { SecretStore } from "../../src/components/contract/secret-store.ts";
import { metadataWith } from "./component-metadata.ts";

/** How a test of the contract gets at a store. */
export interface SecretStoreSetup {
  readonly create: () => SecretStore;
  /** With which the store can be used, and has a secret `there` whose value under its own name is `yes`. */
  readonly usable: ComponentMetadata;
  /** With which it cannot; undefined where there is nothing that it would refuse. */
  readonly unusable: ComponentMetadata | undefined;
}

/** What every secret store has to keep, see `SecretStore`. */
export function testSecretStoreContract(name: string, { create, usable, unusable }: SecretStoreSetup): void {
  test(`${name}: a secret is found by its name, and one that is not there is undefined`, async () => {
    const store = create();
    await store.init(usable);
    assert.equal((await store.secret("there"))?.get("there"), "yes");
    assert.equal(await store.secret("nowhere"), undefined);
    assert.equal(await store.secret("__proto__"), undefined);
    await store.close();
  });

  test(`${name}: a field that is misspelled is refused with its place`, async () => {
    const misspelled = await metadataWith({ nonsense: "x" });
    await assert.rejects(async () => {
      await create().init(misspelled);
    }, /^Error: component\.yaml:\d+: unknown metadata field "nonsense"/);
  });

  test(`${name}: a store is closed twice, before its start, and after one that failed`, async () => {
    const store = create();
    if (unusable !== undefined) await assert.rejects(store.init(unusable), Error);
    await store.close();
    await store.close();
  });
}
