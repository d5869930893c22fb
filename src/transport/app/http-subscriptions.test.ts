import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";
import { httpEventApp, patient, recordedLog, startAnsweringApp } from "../../../test/support/event-apps.ts";
import { subscriptionsSaidOverHttp } from "./http-subscriptions.ts";

/** What an app says that it subscribes to, over HTTP. */

function said(body: unknown, status = 200) {
  const { lines, log } = recordedLog();
  const bytes = typeof body === "string" ? body : JSON.stringify(body);
  return { list: subscriptionsSaidOverHttp({ status, body: Buffer.from(bytes) }, log), lines };
}

const PLAIN = { rules: [], metadata: new Map(), deadLetterTopic: undefined, bulk: undefined };

test("the form with one route, and the one with rules", () => {
  const { list, lines } = said([
    { pubsubname: "mem", topic: "orders", route: "/orders" },
    {
      pubsubname: "mem",
      topic: "routed",
      route: "/not-this",
      routes: {
        rules: [
          { match: " event.type == 'v1' ", path: "v1" },
          { match: "event.data.n > 5", path: "/big" },
        ],
        default: "other",
      },
      deadLetterTopic: "dlq",
      metadata: { rawPayload: "true" },
      bulkSubscribe: { enabled: true, maxMessagesCount: 5, maxAwaitDurationMs: 40 },
    },
  ]);
  assert.deepEqual(lines, []);
  assert.deepEqual(list, [
    { ...PLAIN, pubsub: "mem", topic: "orders", defaultPath: "/orders" },
    {
      pubsub: "mem",
      topic: "routed",
      rules: [
        { match: "event.type == 'v1'", path: "/v1" },
        { match: "event.data.n > 5", path: "/big" },
      ],
      defaultPath: "/other",
      deadLetterTopic: "dlq",
      metadata: new Map([["rawPayload", "true"]]),
      bulk: { maxMessages: 5, maxAwaitMs: 40 },
    },
  ]);
});

test("names in any case, as SDKs have them; metadata that is no text becomes one", () => {
  const { list } = said([
    {
      pubsubName: "mem",
      Topic: "orders",
      Route: "orders",
      metadata: { rawPayload: true, n: 1, nothing: null, list: [1] },
      bulkSubscribe: { enabled: true },
    },
  ]);
  const metadata = new Map([
    ["rawPayload", "true"],
    ["n", "1"],
    ["list", "[1]"],
  ]);
  const bulk = { maxMessages: 100, maxAwaitMs: 1000 };
  assert.deepEqual(list, [{ ...PLAIN, pubsub: "mem", topic: "orders", defaultPath: "/orders", metadata, bulk }]);
});

test("rules without a default: the rest is for nobody", () => {
  const { list } = said([{ pubsubname: "mem", topic: "t", routes: { rules: [{ match: "true", path: "/a" }] } }]);
  assert.deepEqual(list[0]?.rules, [{ match: "true", path: "/a" }]);
  assert.equal(list[0].defaultPath, undefined);
});

test("what cannot be is left out, with its place in the list; the others stand", () => {
  const { list, lines } = said([
    { topic: "t", route: "/" },
    { pubsubname: "mem", route: "/" },
    { pubsubname: "mem", topic: "t" },
    { pubsubname: "mem", topic: "t", routes: { rules: [{ match: "x" }] } },
    { pubsubname: "mem", topic: "t", routes: { rules: {} } },
    7,
    { pubsubname: 1, topic: "t", route: "/" },
    { pubsubname: "mem", topic: "good", route: "/good", bulkSubscribe: { enabled: false }, metadata: [] },
  ]);
  assert.deepEqual(
    list.map(({ topic }) => topic),
    ["good"],
  );
  assert.deepEqual(
    lines.map(({ level, fields }) => [level, fields?.["index"], fields?.["error"]]),
    [
      ["error", 0, "it has no pubsubname"],
      ["error", 1, "it has no topic of the pubsub mem"],
      ["error", 2, "the topic t of mem has no route: give route, or routes with rules or default"],
      ["error", 3, "the topic t of mem: routes.rules[0] has no path"],
      ["error", 4, "the topic t of mem: routes.rules is no array"],
      ["error", 5, "it is no object"],
      ["error", 6, "it has no pubsubname"],
    ],
  );
});

for (const [what, status, body] of [
  ["404", 404, "not here"],
  ["204", 204, ""],
  ["null", 200, "null"],
  ["an empty list", 200, "[]"],
] as const) {
  test(`${what} is no subscription, and nothing to tell of`, () => {
    const { list, lines } = said(body, status);
    assert.deepEqual([list, lines], [[], []]);
  });
}

for (const [what, status, body] of [
  ["no JSON", 200, "<html>"],
  ["half of it", 200, '[{"pubsubname":"mem"'],
  ["an object", 200, "{}"],
  ["500", 500, "boom"],
  ["401", 401, ""],
  ["302", 302, ""],
] as const) {
  test(`${what} is no subscription, which is told`, () => {
    const { list, lines } = said(body, status);
    assert.deepEqual(list, []);
    assert.deepEqual(
      lines.map(({ level }) => level),
      ["error"],
    );
  });
}

test("an app that is not ready to answer is to be asked again", () => {
  assert.throws(() => said("wait", 503), /GET \/dapr\/subscribe was answered 503: wait/);
});

test("an app is asked as daprd asks, and an answer without measure is not read", async (t) => {
  const received: IncomingMessage[] = [];
  const port = await startAnsweringApp(t, 200, "[]", received);
  const asking = httpEventApp(t, port, "app-token");
  assert.deepEqual(await asking.app.subscriptions(patient), []);
  const [request] = received;
  assert.ok(request !== undefined);
  assert.equal(`${request.method ?? ""} ${request.url ?? ""}`, "GET /dapr/subscribe");
  assert.deepEqual(request.headers, {
    host: `127.0.0.1:${port}`,
    "content-type": "application/json",
    "dapr-app-id": "callee",
    "dapr-api-token": "app-token",
  });
  const { app, log } = httpEventApp(t, await startAnsweringApp(t, 200, `[${" ".repeat(100_000)}]`));
  assert.deepEqual(await app.subscriptions(patient), []);
  assert.equal(log[0]?.fields?.["error"], "it is larger than --max-body-size");
});
