import assert from "node:assert/strict";
import { test } from "node:test";
import { PathLabels } from "./path-labels.ts";
import { PathMatcher } from "./path-matcher.ts";

// As Go's ServeMux matches them (https://pkg.go.dev/net/http#hdr-Patterns-ServeMux).
for (const [patterns, path, expected] of [
  [["/orders/{orderID}"], "/orders/17", "/orders/{orderID}"],
  [["/orders/{orderID}"], "/orders", undefined],
  [["/orders/{orderID}"], "/orders/", undefined],
  [["/orders/{orderID}"], "/orders/17/items", undefined],
  [["/orders/{orderID}", "/orders/latest"], "/orders/latest", "/orders/latest"],
  [["/orders/{id}/items/{item}"], "/orders/1/items/2", "/orders/{id}/items/{item}"],
  [["/files/{rest...}"], "/files/a/b", "/files/{rest...}"],
  [["/files/{rest...}", "/files/{name}"], "/files/a", "/files/{name}"],
  [["/files/"], "/files/a/b", "/files/"],
  [["/files/"], "/files", undefined],
  [["/files/{$}"], "/files/", "/files/{$}"],
  [["/files/{$}"], "/files/a", undefined],
  [["/a/{x}/c", "/a/b/"], "/a/b/d", "/a/b/"],
  [["/a/b/d", "/a/{x}/c"], "/a/b/c", "/a/{x}/c"],
  [["/"], "/anything/at/all", "/"],
] as const) {
  test(`${path} under ${patterns.join(" and ")} is ${String(expected)}`, () => {
    assert.equal(new PathMatcher(patterns).match(path), expected);
  });
}

for (const [increasedCardinality, pathMatching, path, expected] of [
  [true, [], "/orders/a%20b", "/orders/a b"],
  [true, [], "/orders/%zz", "/orders/%zz"],
  [false, [], "/orders/1", ""],
  [true, ["/orders/{id}"], "/orders/1", "/orders/{id}"],
  [true, ["/orders/{id}"], "/other", "/other"],
  [false, ["/orders/{id}"], "/orders/1", "/orders/{id}"],
  [false, ["/orders/{id}"], "/other", ""],
] as const) {
  const how = `increasedCardinality ${increasedCardinality} and pathMatching ${JSON.stringify(pathMatching)}`;
  test(`with ${how}, ${path} is counted under "${expected}"`, () => {
    const labels = new PathLabels({ increasedCardinality, pathMatching, excludeVerbs: false });
    assert.equal(labels.pathOf(path), expected);
  });
}

test("verbs are left out where that is asked", () => {
  const spec = { increasedCardinality: true, pathMatching: [] };
  assert.equal(new PathLabels({ ...spec, excludeVerbs: true }).methodOf("GET"), "");
  assert.equal(new PathLabels({ ...spec, excludeVerbs: false }).methodOf("GET"), "GET");
});
