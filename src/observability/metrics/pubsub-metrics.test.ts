import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Scrape } from "../../../test/support/scrape.ts";
import { MAX_SERIES } from "./family.ts";
import { PubSubMetrics } from "./pubsub-metrics.ts";
import { MetricRegistry } from "./registry.ts";

/** What is counted of pub/sub, under the names that a daprd was seen to use. */

function pubsub() {
  const warnings: string[] = [];
  const silent = (): void => undefined;
  const log = { debug: silent, info: silent, error: silent, warn: (text: string) => void warnings.push(text) };
  const registry = new MetricRegistry({ appId: "shop", rules: [], log });
  const metrics = new PubSubMetrics(registry, "test", [1, 10]);
  const text = (): string => [...registry.exposition()].join("");
  return { metrics, warnings, text, read: () => new Scrape(text()) };
}

const OBSERVED = new URL("../../../test/fixtures/observed/metrics.md", import.meta.url);

test("names, types and labels are those that a daprd was seen to use", () => {
  const { metrics, read } = pubsub();
  metrics.published("mem", "orders", true, 1);
  metrics.bulkPublished("mem", "orders", true, 1);
  metrics.delivered("mem", "orders", "success", "success", 1);
  metrics.bulkDelivered("mem", "orders", "success", 3, 1);
  const written = [...read().metrics].map(([name, { type, samples }]) => {
    return `| ${name} | ${type} | ${Object.keys(samples[0]?.labels ?? {})
      .sort()
      .join(", ")} |`;
  });
  const seen = readFileSync(OBSERVED, "utf8")
    .split("\n")
    .filter((line) => line.includes("_pubsub_"));
  assert.equal(seen.length, 8);
  // daprd leaves out latencies below a millisecond, as those of this one were.
  const own = "| dapr_component_pubsub_egress_latencies | histogram | app_id, component, namespace, success, topic |";
  assert.deepEqual(written.sort(), [...seen, own].sort());
});

test("what was published is counted with its time, apart by whether the broker took it", () => {
  const { metrics, read } = pubsub();
  for (const ms of [0.5, 7]) metrics.published("mem", "orders", true, ms);
  metrics.published("mem", "orders", false, 20);
  metrics.bulkPublished("mem", "orders", false, 20);
  const labels = { app_id: "shop", component: "mem", namespace: "test", topic: "orders", success: "true" };
  assert.equal(read().count("component_pubsub_egress_count", labels), 2);
  const [latency] = read().samples("component_pubsub_egress_latencies", labels);
  assert.deepEqual([latency?.buckets, latency?.sum], [{ 1: 1, 10: 2, "+Inf": 2 }, 7.5]);
  assert.equal(read().count("component_pubsub_egress_count", { success: "false" }), 1);
  assert.equal(read().count("component_pubsub_egress_bulk_count", { success: "false" }), 1);
  assert.equal(read().count("component_pubsub_egress_bulk_count"), 1);
});

test("what was delivered is counted by what became of it and by what the app said", () => {
  const { metrics, read } = pubsub();
  metrics.delivered("mem", "orders", "success", "success", 1);
  metrics.delivered("mem", "orders", "retry", "retry", 1);
  metrics.delivered("mem", "orders", "drop", "retry", 1);
  metrics.delivered("mem", "orders", "drop", "", 1);
  const statuses = read()
    .samples("component_pubsub_ingress_count", { component: "mem", topic: "orders", namespace: "test" })
    .map(({ labels }) => `${labels["process_status"]} ${labels["status"]}`);
  assert.deepEqual(statuses.sort(), ["drop drop", "drop retry", "retry retry", "success success"]);
  assert.equal(read().count("component_pubsub_ingress_latencies"), 4);
});

test("of a delivery in bulk, its events are counted too", () => {
  const { metrics, read } = pubsub();
  metrics.bulkDelivered("mem", "orders", "success", 40, 2);
  metrics.bulkDelivered("mem", "orders", "success", 2, 2);
  metrics.bulkDelivered("mem", "orders", "retry", 1, 2);
  assert.equal(read().count("component_pubsub_ingress_bulk_count", { process_status: "success" }), 2);
  assert.equal(read().count("component_pubsub_ingress_bulk_event_count", { process_status: "success" }), 42);
  assert.equal(read().count("component_pubsub_ingress_bulk_event_count", { process_status: "retry" }), 1);
  assert.equal(read().count("component_pubsub_ingress_bulk_latencies"), 3);
});

test("however many topics there are, what is kept of them is bounded, and the log says so", () => {
  const { metrics, warnings, text } = pubsub();
  for (let i = 0; i < MAX_SERIES + 500; i++) metrics.published("mem", `topic-${i}`, true, 1);
  const series = text().match(/^dapr_component_pubsub_egress_count\{.*/gm) ?? [];
  assert.equal(series.length, MAX_SERIES + 1);
  assert.match(series.at(-1) ?? "", /topic="_overflow"\} 500$/);
  assert.equal(warnings.length, 2);
  assert.match(warnings[0] ?? "", /^dapr_component_pubsub_egress_count has 2000 .*; spec\.metrics\.rules can make/);
});
