import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { goJsonError } from "./go-json-error.ts";

// As `json.NewDecoder(...).Decode(...)` says it; what follows a value is no error there, and is one here.
const SAID: readonly (readonly [text: string, error: string])[] = [
  ["", "EOF"],
  [" \n", "EOF"],
  ["{", "unexpected EOF"],
  ['{"a":[1,{', "unexpected EOF"],
  ["-", "unexpected EOF"],
  ["1.", "unexpected EOF"],
  ['"a', "unexpected EOF"],
  ["{oops", "invalid character 'o' looking for beginning of object key string"],
  ['{"a":1,}', "invalid character '}' looking for beginning of object key string"],
  ["{'a':1}", "invalid character '\\'' looking for beginning of object key string"],
  ['{"a" 1}', "invalid character '1' after object key"],
  ['{"a":1 "b"', "invalid character '\"' after object key:value pair"],
  ["[1 2]", "invalid character '2' after array element"],
  ["[1,]", "invalid character ']' looking for beginning of value"],
  ["[,", "invalid character ',' looking for beginning of value"],
  ["oops", "invalid character 'o' looking for beginning of value"],
  ["é", "invalid character 'Ã' looking for beginning of value"],
  ["\ufeff{}", "invalid character 'ï' looking for beginning of value"],
  ["\u0000", "invalid character '\\x00' looking for beginning of value"],
  ["tru3", "invalid character '3' in literal true (expecting 'e')"],
  ["nul!", "invalid character '!' in literal null (expecting 'l')"],
  ["fx", "invalid character 'x' in literal false (expecting 'a')"],
  ["01", "invalid character '1' after top-level value"],
  ["-x", "invalid character 'x' in numeric literal"],
  ["1.e", "invalid character 'e' after decimal point in numeric literal"],
  ["1e+x", "invalid character 'x' in exponent of numeric literal"],
  ['"\n"', "invalid character '\\n' in string literal"],
  ['"\\q"', "invalid character 'q' in string escape code"],
  ['"\\u12g4"', "invalid character 'g' in \\u hexadecimal character escape"],
  ["{} x", "invalid character 'x' after top-level value"],
];

for (const [text, error] of SAID) {
  test(`${JSON.stringify(text)}: ${error}`, () => {
    assert.equal(goJsonError(Buffer.from(text)), error);
  });
}

test("whatever JSON.parse refuses has an error, and the beginning of JSON is never faulted", () => {
  fc.assert(
    fc.property(fc.json(), fc.nat(), (json, at) => {
      assert.match(goJsonError(Buffer.from(json.slice(0, at % (json.length + 1)))), /^(?:unexpected )?EOF$/);
    }),
  );
});
