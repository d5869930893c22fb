import assert from "node:assert/strict";
import { test } from "node:test";
import { Scrape } from "../../../test/support/scrape.ts";
import type { MetricsRule } from "../../resources/metrics-spec.ts";
import { MAX_SERIES, MAX_VALUE_LENGTH } from "./family.ts";
import { MetricRegistry } from "./registry.ts";

function registry(rules: readonly MetricsRule[] = []) {
  const warnings: string[] = [];
  const silent = (): void => undefined;
  const log = { debug: silent, info: silent, error: silent, warn: (text: string) => void warnings.push(text) };
  const metrics = new MetricRegistry({ appId: "math", rules, log });
  return { metrics, warnings, read: () => new Scrape([...metrics.exposition()].join("")) };
}

test("a value is counted in every bucket from its own on", () => {
  const { metrics, read } = registry();
  const latency = metrics.histogram("latency", "Milliseconds.", [1, 5, 10], "status").slot("200");
  for (const value of [0, 1, 1.5, 5, 10.1]) latency.record(value);
  const [sample] = read().samples("latency", { app_id: "math", status: "200" });
  assert.deepEqual(sample?.buckets, { 1: 2, 5: 4, 10: 4, "+Inf": 5 });
  assert.deepEqual([sample.value, sample.sum], [5, 17.6]);
});

test("a metric without a series is not shown, and one without labels has its app", () => {
  const { metrics, read } = registry();
  metrics.counter("never", "Nothing.");
  metrics.counter("once", "Something.").slot().add();
  assert.deepEqual([...read().metrics.keys()], ["dapr_once"]);
  assert.deepEqual(read().samples("once")[0]?.labels, { app_id: "math" });
});

test("whatever stands in a label is read back as it was", () => {
  const { metrics, read } = registry();
  const value = 'a "quoted" \\ path\nof two lines, with {braces} and 💧';
  metrics.counter("calls", "Calls.", "path").slot(value).add();
  assert.equal(read().samples("calls")[0]?.labels["path"], value);
});

test("beyond its cap a metric has one more series for all that come, and says so once", () => {
  const { metrics, warnings, read } = registry();
  const calls = metrics.counter("calls", "Calls.", "path", "status");
  for (let i = 0; i < MAX_SERIES + 500; i++) calls.slot(`/orders/${i}`, "200").add();
  calls.slot("/orders/0", "200").add();
  assert.equal(read().samples("calls").length, MAX_SERIES + 1);
  assert.equal(read().count("calls", { path: "_overflow", status: "_overflow", app_id: "math" }), 500);
  assert.equal(read().count("calls", { path: "/orders/0" }), 2);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? "", /^dapr_calls has 2000 sets of labels/);
});

test("a long value is cut, so that what is kept and shown of paths from outside is bounded", () => {
  const { metrics, read } = registry();
  const calls = metrics.histogram("calls", "Calls.", [1], "path");
  for (const end of ["a", "b"]) calls.slot(`/${"x".repeat(5000)}${end}`).record(1);
  const [one, ...others] = read().samples("calls");
  assert.deepEqual([one?.value, others], [2, []]);
  assert.match(one?.labels["path"] ?? "", /^\/x+…$/);
  assert.equal(one?.labels["path"]?.length, MAX_VALUE_LENGTH);
});

test("rules rewrite the labels of the metric that they name, with its prefix or without", () => {
  const rewrites = [{ pattern: /\/orders\/.+/g, replacement: "/orders/" }];
  const { metrics, read } = registry([{ metric: "dapr_calls", label: "path", rewrites }]);
  const [calls, others] = [metrics.counter("calls", "Calls.", "path"), metrics.counter("others", "Others.", "path")];
  for (const path of ["/orders/1", "/orders/2", "/items/1"]) {
    calls.slot(path).add();
    others.slot(path).add();
  }
  assert.equal(read().count("calls", { path: "/orders/" }), 2);
  assert.equal(read().samples("others").length, 3);
});

test("what is scraped comes in pieces, so that calls are served between them", () => {
  const { metrics } = registry();
  const latency = metrics.histogram("latency", "Milliseconds.", [1, 2, 3], "path");
  for (let i = 0; i < 1000; i++) latency.slot(`/${i}`).record(1);
  const pieces = [...metrics.exposition()];
  assert.ok(pieces.length > 3, `${pieces.length}`);
  assert.ok(pieces.every(({ length }) => length < 80 * 1024));
});
