import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type Configuration, readConfigurations } from "./configuration.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-test-"));
after(() => {
  rmSync(folder, { recursive: true });
});

function read(...specs: readonly string[]): Configuration {
  const files = specs.map((spec, at) => {
    const file = join(folder, `${at}.yaml`);
    writeFileSync(file, `apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\nspec:\n${spec}\n`);
    return file;
  });
  return readConfigurations(files);
}

test("metrics are on, with paths, unless a Configuration says otherwise", () => {
  const { metrics, apiLogging } = read("  {}");
  assert.deepEqual([metrics.enabled, metrics.recordErrorCodes, metrics.latencyBuckets], [true, false, undefined]);
  assert.deepEqual(metrics.http, { increasedCardinality: true, pathMatching: [], excludeVerbs: false });
  assert.equal(apiLogging.enabled, false);
});

test("spec.metrics goes before spec.metric, field by field, and a later file before an earlier one", () => {
  const { metrics } = read(
    "  metric: {enabled: false, recordErrorCodes: true, latencyDistributionBuckets: [5, 50]}\n  metrics: {enabled: true}",
    "  metrics: {http: {excludeVerbs: true, pathMatching: ['/a/{b}']}}",
  );
  assert.deepEqual([metrics.enabled, metrics.recordErrorCodes], [true, true]);
  assert.deepEqual(metrics.latencyBuckets, [5, 50]);
  assert.deepEqual(metrics.http, { increasedCardinality: true, pathMatching: ["/a/{b}"], excludeVerbs: true });
});

test("rules are read with Go's way to write them", () => {
  const { metrics } = read(
    `  metrics:
    rules:
    - name: dapr_http_server_request_count
      labels:
      - name: path
        regex: {"/v1/\${name}": "(?i)/V1/(?P<name>[a-z]+)/.+", "/$1": "/x/(y)"}`,
  );
  const [rule] = metrics.rules;
  const rewritten = rule?.rewrites.map(({ pattern, replacement }) =>
    ["/v1/things/17", "/x/y"].map((path) => path.replace(pattern, replacement)),
  );
  assert.deepEqual(rewritten, [
    ["/v1/things", "/x/y"],
    ["/v1/things/17", "/y"],
  ]);
});

test("API logging is read, and both sections have an effect", () => {
  const { apiLogging, withoutEffect } = read(
    "  metrics: {enabled: true}\n  logging: {apiLogging: {enabled: true, obfuscateURLs: true, omitHealthChecks: true}}",
  );
  assert.deepEqual(apiLogging, { enabled: true, obfuscateUrls: true, omitHealthChecks: true });
  assert.deepEqual(withoutEffect, []);
});

for (const [spec, says] of [
  ["  metrics: {enable: true}", /0\.yaml:5: unknown field "spec\.metrics\.enable"; did you mean "enabled"\?/],
  ["  metric:\n    http:\n      increasedCardinalty: true", /:7: .*did you mean "increasedCardinality"\?/],
  ["  metrics:\n    latencyDistributionBuckets: [5, 3]", /:6: spec\.metrics\.latencyDistributionBuckets: 3 does not/],
  ["  metrics: {http: {pathMatching: [orders]}}", /"orders" does not begin with a slash/],
  ['  metrics: {http: {pathMatching: ["/orders/x{id}"]}}', /the segment "x\{id\}"; a wildcard is a whole segment/],
  ['  metrics: {http: {pathMatching: ["/{rest...}/x"]}}', /the segment "\{rest\.\.\.\}"/],
  ['  metrics: {rules: [{name: x, labels: [{name: path, regex: {a: "("}}]}]}', /"\(" is no regular expression/],
  ["  logging: {apiLogging: {obfuscateUrl: true}}", /did you mean "obfuscateURLs"\?/],
] as const) {
  test(`${spec.trim()} is refused with its place and what to do`, () => {
    assert.throws(() => read(spec), { name: "ResourceError", message: says });
  });
}
