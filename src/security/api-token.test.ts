import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiTokens } from "./api-token.ts";

test("a token opens the door, and nothing else does", () => {
  const tokens = new ApiTokens(["secret"]);
  assert.equal(tokens.required, true);
  assert.equal(tokens.accept("secret"), true);
  for (const wrong of ["", "Secret", "secret ", "secre", "secrets", undefined]) {
    assert.equal(tokens.accept(wrong), false, `${wrong} was accepted`);
  }
});

test("while a token is rotated, the new and the old one open the door", () => {
  const tokens = new ApiTokens(["new", "old"]);
  assert.equal(tokens.accept("new"), true);
  assert.equal(tokens.accept("old"), true);
  assert.equal(tokens.accept("older"), false);
});

test("a token that is left empty is none: it opens nothing", () => {
  const tokens = new ApiTokens(["new", "", undefined]);
  assert.equal(tokens.required, true);
  assert.equal(tokens.accept(""), false);
  assert.equal(tokens.accept(undefined), false);
});

for (const none of [[], [undefined, undefined], ["", ""]]) {
  test(`without tokens (${JSON.stringify(none)}) none is asked for`, () => {
    assert.equal(new ApiTokens(none).required, false);
  });
}
