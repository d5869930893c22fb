import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { BrowsedTopics, componentWith, PublishedAgain, subscriptionTo } from "../../../../test/support/dead-letters.ts";
import { ManualClock } from "../../../../test/support/manual-clock.ts";
import { serveOutriggerApi } from "../../../../test/support/outrigger-api.ts";
import { RawConnection } from "../../../../test/support/raw-http.ts";
import { waitFor } from "../../../../test/support/wait.ts";
import type { BulkFailure, OutgoingEvent } from "../../../components/contract/pubsub.ts";
import { OutriggerError } from "../../../core/errors.ts";
import { Publisher } from "../../../pubsub/publisher.ts";
import { publishPathOf } from "../publish-path.ts";
import { publish } from "./publish.ts";

const MAX_BODY_BYTES = 1024;

/** @param failures of every bulk publish. */
async function serve(t: TestContext, failures: readonly BulkFailure[] = []) {
  const published: OutgoingEvent[] = [];
  const component = componentWith("pubsub", new BrowsedTopics());
  const broker = {
    ...component.broker,
    features: component.broker.features,
    publish: (event: OutgoingEvent) => {
      published.push(event);
      return Promise.resolve();
    },
    publishBulk: (_topic: string, events: readonly OutgoingEvent[]) => {
      published.push(...events);
      return Promise.resolve(failures);
    },
  };
  const rules = { pubsubs: new Map([["pubsub", { ...component, broker }]]), policies: undefined };
  const clock = new ManualClock();
  const publisher = new Publisher({ appId: "shop", rules, observer: undefined, clock });
  const answered: string[] = [];
  const thrown: unknown[] = [];
  const observer = { errorAnswered: (code: string) => answered.push(code) } as never;
  const subscriptions = { active: [subscriptionTo("orders", "dead")], try: () => Promise.resolve([]) };
  const api = { rules, subscriptions, publisher: new PublishedAgain() as never, clock, maxBodyBytes: MAX_BODY_BYTES };
  const url = await serveOutriggerApi(t, api, async (request) => {
    const path = publishPathOf(request.method, request.path);
    if (path === undefined) return false;
    try {
      await publish({ publisher, maxBodyBytes: MAX_BODY_BYTES, observer }, path, request);
    } catch (error) {
      thrown.push(error);
      throw error;
    }
    return true;
  });
  return { origin: new URL(url).origin, port: Number(new URL(url).port), published, answered, thrown };
}

const ONE = "/v1.0/publish/pubsub/orders";
const BULK = "/v1.0/publish/bulk/pubsub/orders";
const large = "x".repeat(MAX_BODY_BYTES + 1);

for (const path of [ONE, BULK]) {
  test(`what is larger than --max-body-size is 413, announced or not: ${path}`, async (t) => {
    const { origin, published } = await serve(t);
    const chunked = new ReadableStream({
      start: (controller) => {
        controller.enqueue(Buffer.from(large));
        controller.close();
      },
    });
    for (const init of [{ body: large }, { body: chunked, duplex: "half" }]) {
      const response = await fetch(`${origin}${path}`, { method: "POST", ...init } as RequestInit);
      assert.equal(response.status, 413);
      assert.match(await response.text(), /--max-body-size allows \(1024\)/);
    }
    assert.deepEqual(published, []);
  });
}

for (const [path, kind, what] of [
  [ONE, "publishFailed", /^error when publishing to topic orders in pubsub pubsub: ./],
  [
    BULK,
    "bulkRequestMalformed",
    /^error when unmarshaling the request for topic orders pubsub pubsub: unexpected EOF$/,
  ],
] as const) {
  test(`of a body that breaks off nothing is published: ${kind}`, async (t) => {
    const { port, published, thrown } = await serve(t);
    const connection = await RawConnection.open(t, port);
    connection.write(`POST ${path} HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n[{"`);
    connection.end();
    await waitFor("the end of the request", () => thrown.length === 1);
    const [error] = thrown;
    assert.ok(error instanceof OutriggerError);
    assert.equal(error.kind, kind);
    assert.match(error.message, what);
    assert.deepEqual(published, []);
  });
}

test("which events of a bulk request were not taken is told in the body, and in headers as far as they have room", async (t) => {
  const { origin, published, answered } = await serve(t, [{ index: 1, error: "voll: ü" }]);
  const entry = (entryId: string): object => ({ entryId, event: entryId, contentType: "text/plain" });
  const body = JSON.stringify([entry("a"), entry("b")]);
  const response = await fetch(`${origin}${BULK}`, { method: "POST", body });
  assert.equal(response.status, 500);
  const failed = { failedEntries: [{ entryId: "b", error: "voll: ü" }], errorCode: "ERR_PUBSUB_PUBLISH_MESSAGE" };
  assert.deepEqual(await response.json(), failed);
  assert.deepEqual(JSON.parse(response.headers.get("metadata.responseData") ?? ""), failed);
  assert.match(response.headers.get("metadata.error") ?? "", /^api error: code = Internal desc = .*entry b: voll/);
  assert.equal(response.headers.get("x-trace"), "t");
  assert.equal(published.length, 2);
  assert.deepEqual(answered, ["ERR_PUBSUB_PUBLISH_MESSAGE"]);
  const long = await serve(t, [{ index: 0, error: "e".repeat(5000) }]);
  const other = await fetch(`${long.origin}${BULK}`, { method: "POST", body });
  assert.equal(other.status, 500);
  assert.equal(other.headers.get("metadata.responseData"), null);
  assert.equal(((await other.json()) as typeof failed).failedEntries[0]?.error.length, 5000);
});

test("what was taken is 204 without a body; of metadata the first of a name counts", async (t) => {
  const { origin, published } = await serve(t);
  const response = await fetch(`${origin}${ONE}?metadata.a=1&metadata.a=2&b=3`, { method: "PUT", body: "text" });
  assert.deepEqual([response.status, await response.text()], [204, ""]);
  assert.deepEqual([...(published[0]?.metadata ?? [])], [["a", "1"]]);
});
