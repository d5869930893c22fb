import assert from "node:assert/strict";
import { test } from "node:test";
import { type AppIdentity, parseAppId, parseNamespace, qualifiedName, sameApp } from "./app-id.ts";

for (const id of ["a", "7", "_", "mathService", "order-service_2", "a--b", "x".repeat(128)]) {
  test(`"${id}" is an app id and a namespace`, () => {
    assert.equal(parseAppId(id), id);
    assert.equal(parseNamespace(id), id);
  });
}

const REFUSED: [text: string, reason: string][] = [
  ["", "it is empty"],
  ["math.testing", "a dot separates id and namespace, so neither may contain one"],
  ["x".repeat(129), "it is longer than 128 characters"],
  ...["-a", "a-", "a b", "a/b", "a%2Fb", "a\n", "a\r\nX: 1", "é", "a:b", "a@b"].map((text): [string, string] => [
    text,
    "use letters, digits, - and _, beginning and ending with a letter, a digit or _",
  ]),
];

for (const [text, reason] of REFUSED) {
  test(`${JSON.stringify(text)} is refused, and why: ${reason}`, () => {
    assert.throws(() => parseAppId(text), new TypeError(`"${text}" is not a valid app id: ${reason}`));
    assert.throws(() => parseNamespace(text), new TypeError(`"${text}" is not a valid namespace: ${reason}`));
  });
}

test("two apps are one only where id and namespace are the same byte for byte", () => {
  const math = app("math", "default");
  assert.ok(sameApp(math, app("math", "default")));
  assert.ok(!sameApp(math, app("Math", "default")));
  assert.ok(!sameApp(math, app("math", "testing")));
  assert.ok(!sameApp(math, app("default", "math")));
});

test("the qualified name is id.namespace", () => {
  assert.equal(qualifiedName(app("math", "testing")), "math.testing");
});

function app(id: string, namespace: string): AppIdentity {
  return { id: parseAppId(id), namespace: parseNamespace(namespace) };
}
