import assert from "node:assert/strict";
import { test } from "node:test";
import { metadataWith } from "../../../test/support/component-metadata.ts";
import { pathFilterField } from "./path-filter.ts";

async function matches(pathFilter: string, path: string): Promise<boolean> {
  return pathFilterField(await metadataWith({ pathFilter })).matches(path);
}

test("without a pattern it is for every path", async () => {
  assert.equal(await matches("", "/x"), true);
});

test("it is for the paths in which the pattern finds something, however they are written", async () => {
  for (const path of ["/admin/x", "/%61dmin/x", "//admin/x", "/x/../admin/x", "/admin;a=b/x"]) {
    assert.equal(await matches("^/admin/", path), true, path);
  }
  for (const path of ["/", "/users/admin/", "/administer"]) assert.equal(await matches("^/admin/", path), false, path);
});

test("dots do not lead out of the API's own segments and around it", async () => {
  // The app gets /admin of it.
  const path = "/v1.0/invoke/shop/method/../../../admin";
  assert.equal(await matches("^/v1.0/invoke/shop/method/admin", path), true);
});

test("patterns are Go's, as those of routerchecker", async () => {
  assert.equal(await matches("(?i)^/ADMIN", "/admin"), true);
  assert.equal(await matches(String.raw`\A/[[:alpha:]]+\z`, "/admin"), true);
  await assert.rejects(
    matches("(", "/"),
    /component\.yaml:\d+: metadata field pathFilter is no regular expression \(Inv/,
  );
});
