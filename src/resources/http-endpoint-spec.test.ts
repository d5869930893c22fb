import assert from "node:assert/strict";
import { test } from "node:test";
import { type HttpEndpointSpec, readHttpEndpoint } from "./http-endpoint-spec.ts";
import { parseYaml } from "./yaml-file.ts";

function read(spec: string): HttpEndpointSpec {
  const [document] = parseYaml(
    `{apiVersion: dapr.io/v1alpha1, kind: HTTPEndpoint, metadata: {name: ext}, spec: {${spec}}}`,
    "ext.yaml",
  );
  assert.ok(document);
  return readHttpEndpoint(document);
}

test("what Outrigger writes itself, and where a message ends, cannot be set: it is left out with a warning", () => {
  const names = ["Host", "content-length", "Transfer-Encoding", "Connection", "TE", "Upgrade", "X-Mine"];
  const headers = names.map((name) => `{name: ${name}, value: "1"}`).join(", ");
  const { headers: kept, slips } = read(`baseUrl: "http://a", headers: [${headers}]`);
  assert.deepEqual(
    kept.map(({ name }) => name),
    ["X-Mine"],
  );
  assert.equal(slips.length, names.length - 1);
  assert.match(slips[0] ?? "", /^ext\.yaml: ext: the header Host was left out, for it is that of baseUrl$/);
  assert.match(slips[2] ?? "", /the header Transfer-Encoding was left out/);
});

test("a base URL is one of HTTP, without query and fragment, and its user can be read", () => {
  assert.equal(read('baseUrl: "HTTPS://me:p%40ss@a.test/v2"').baseUrl.username, "me");
  for (const url of ["ftp://a", "a", "http://a?b", "http://a#b", "http://%zz@a", "http://"]) {
    assert.throws(() => read(`baseUrl: "${url}"`), /ext\.yaml:1: spec\.baseUrl: .* is no base URL/, url);
  }
});

test("a value stands in one place alone", () => {
  for (const [fields, message] of [
    ['headers: [{name: X, value: "1", envRef: X}]', /value and envRef are both given for X; give one of them/],
    ['clientTLS: {rootCA: {value: "1", secretKeyRef: {name: a}}}', /value and secretKeyRef are both given; give one/],
  ] as const) {
    assert.throws(() => read(`baseUrl: "http://a", ${fields}`), message);
  }
});
