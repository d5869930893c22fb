import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { goJson, goQuote, visible } from "./go-json.ts";

test("what HTML and JavaScript could trip over is escaped inside strings, as Go does", () => {
  assert.equal(
    goJson({ message: "<a href='x'>&</a>\u2028\u2029" }),
    '{"message":"\\u003ca href=\'x\'\\u003e\\u0026\\u003c/a\\u003e\\u2028\\u2029"}',
  );
});

test("the escaped text is still the same JSON", () => {
  const value = { message: '"<>&"\\\u2028é你🚀\n\u0000', list: [1, true, null], nested: { empty: "" } };
  assert.deepEqual(JSON.parse(goJson(value)), value);
});

test("keys stay in their order, and undefined values are left out", () => {
  assert.equal(goJson({ b: 1, gone: undefined, a: 2 }), '{"b":1,"a":2}');
});

const QUOTED: [text: string, quoted: string][] = [
  ["", '""'],
  ["a#b", '"a#b"'],
  ['say "no"', String.raw`"say \"no\""`],
  ["a\\b", String.raw`"a\\b"`],
  ["\u0007\b\f\n\r\t\v", String.raw`"\a\b\f\n\r\t\v"`],
  ["\u0000\u0001\u001f\u007f", String.raw`"\x00\x01\x1f\x7f"`],
  ["é你🚀", '"é你🚀"'],
];

for (const [text, quoted] of QUOTED) {
  test(`Go's %q of ${JSON.stringify(text)} is ${quoted}`, () => {
    assert.equal(goQuote(text), quoted);
  });
}

for (const [text, shown] of [
  ["math.prod", "math.prod"],
  ['a "b" \\ ö', 'a "b" \\ ö'],
  ["a\r\nerror: b\x00", "a\\r\\nerror: b\\x00"],
  ["a\u2028b\u0085c\u202ed", "a\\u2028b\\u0085c\\u202ed"],
] as const) {
  test(`${JSON.stringify(text)} is shown as ${JSON.stringify(shown)}`, () => {
    assert.equal(visible(text), shown);
  });
}

test("a string is what JSON.stringify writes, with Go's escapes in it", () => {
  fc.assert(
    fc.property(
      fc.string({
        unit: fc.oneof(
          fc.string({ unit: "binary", minLength: 1, maxLength: 1 }),
          fc.constantFrom("<", ">", "&", '"', "'", "\\", "\u2028", "\u007f", "\u0000"),
        ),
      }),
      (text) => {
        const json = goJson(text);
        assert.equal(JSON.parse(json), text);
        assert.doesNotMatch(json, /[<>&\u2028\u2029]/);
      },
    ),
  );
});
