import assert from "node:assert/strict";
import { test } from "node:test";
import { normaliseQuery } from "./query.ts";

for (const [raw, expected] of [
  ["", ""],
  ["a=1&b=%20+?/\"'<>{}|", "a=1&b=%20+?/\"'<>{}|"],
  ["100%&a=%zz", "100%&a=%zz"],
  ["a b#c", "a%20b%23c"],
  ["q=\xc3\xb6", "q=%C3%B6"],
] as const) {
  test(`the query ${JSON.stringify(raw)} is sent as ${JSON.stringify(expected)}`, () => {
    assert.equal(normaliseQuery(raw), expected);
  });
}

for (const raw of ["a\r\nb", "a\nb", "\0", "a\tb", "a\x7f"]) {
  test(`the query ${JSON.stringify(raw)} is refused`, () => {
    assert.throws(() => normaliseQuery(raw), { code: "InvalidArgument", message: /control character at position \d/ });
  });
}
