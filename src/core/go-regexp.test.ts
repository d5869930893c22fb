import assert from "node:assert/strict";
import { test } from "node:test";
import { goRegExp } from "./go-regexp.ts";

const CASES: readonly (readonly [pattern: string, text: string, matches: boolean])[] = [
  ["^[A-Za-z0-9/._-]+$", "/v1.0/invoke/qcg.default/method", true],
  ["^[A-Za-z0-9/._-]+$", "/v1.0/invoke/qcg.default/method/ cat password", false],
  ["(?i)^/ADMIN", "/admin/x", true],
  ["(?P<id>[0-9]+)", "/a/12", true],
  [String.raw`\A/a\z`, "/a", true],
  [String.raw`\A/a\z`, "/a\n", false],
  ["^/[[:alpha:]]+$", "/abc", true],
  ["^/[[:alpha:]]+$", "/ab1", false],
  [String.raw`^\pL+$`, "é", true],
  [String.raw`^\p{Greek}$`.replace("Greek", "Lu"), "E", true],
  [String.raw`^/a\-b\_c\%$`, "/a-b_c%", true],
  [String.raw`^[\w\-]+$`, "a-b", true],
  [String.raw`^/v1\.0/`, "/v1x0/", false],
  ["", "anything", true],
];

for (const [pattern, text, matches] of CASES) {
  test(`${pattern} ${matches ? "matches" : "does not match"} ${JSON.stringify(text)}`, () => {
    assert.equal(goRegExp(pattern).test(text), matches);
  });
}

test("what is none is an error", () => {
  for (const pattern of ["(", "[a", "a**", String.raw`\q`]) assert.throws(() => goRegExp(pattern), SyntaxError);
});
