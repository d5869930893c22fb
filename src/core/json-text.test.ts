import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { goJsonError } from "./go-json-error.ts";
import { isJson, jsonElements, jsonMembers, kindOfJson, stringOf } from "./json-text.ts";

const spaces = fc.constantFrom("", " ", "\n", "\t \r\n");
const spaced = fc.tuple(fc.jsonValue(), spaces).map(([value, space]) => JSON.stringify(value, undefined, space));

test("the members of any object are what JSON.parse reads, each as it was written", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(fc.string({ unit: "binary" }), spaced, spaces), { selector: ([name]) => name }),
      (parts) => {
        const text = `{${parts.map(([name, value, space]) => `${space}${JSON.stringify(name)}${space}:${space}${value}${space}`).join(",")}}`;
        assert.equal(isJson(text), true);
        assert.deepEqual(
          [...jsonMembers(text)],
          parts.map(([name, value]) => [name, value]),
        );
      },
    ),
  );
});

test("so are the elements of any array", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(spaced, spaces)), (parts) => {
      const text = `[${parts.map(([value, space]) => `${space}${value}${space}`).join(",")}]`;
      assert.deepEqual(
        jsonElements(text),
        parts.map(([value]) => value),
      );
    }),
  );
});

test("numbers of any size and spelling stay as they are; the last of two members counts; __proto__ is a name like any", () => {
  const text = '{"a":1.10,"a":12345678901234567890123,"__proto__":{"x":1},"\\u0062":-0.0e+999999,"s":"\\"}\\\\"}';
  assert.deepEqual(Object.fromEntries(jsonMembers(text)), {
    a: "12345678901234567890123",
    ["__proto__"]: '{"x":1}',
    b: "-0.0e+999999",
    s: '"\\"}\\\\"',
  });
});

test("a lone surrogate is no trouble", () => {
  assert.equal([...jsonMembers('{"\\ud800":1}').keys()][0], "\ud800");
  assert.equal(stringOf('"\\ud800x"'), "\ud800x");
});

test("what is nested 10,000 levels deep is JSON, and one level more is not, as in Go; 100,000 do no harm", () => {
  assert.deepEqual(
    [10_000, 10_001, 100_000].map((depth) => isJson(nested(depth))),
    [true, false, false],
  );
  assert.equal(goJsonError(Buffer.from(nested(10_001))), "exceeded max depth");
  assert.equal(jsonElements(nested(100_000))[0]?.length, 199_998);
  const brackets = JSON.stringify("[".repeat(30_000));
  assert.equal(isJson(brackets), true);
});

test("kinds have Go's names", () => {
  const texts = ["{}", "[]", '""', "-1", "true", "false", "null"];
  assert.deepEqual(texts.map(kindOfJson), ["object", "array", "string", "number", "bool", "bool", "null"]);
});

function nested(depth: number): string {
  return "[".repeat(depth) + "]".repeat(depth);
}
