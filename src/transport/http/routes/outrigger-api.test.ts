import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { BrowsedTopics, componentWith, PublishedAgain, subscriptionTo } from "../../../../test/support/dead-letters.ts";
import { ManualClock } from "../../../../test/support/manual-clock.ts";
import { serveOutriggerApi } from "../../../../test/support/outrigger-api.ts";
import { OutriggerError } from "../../../core/errors.ts";
import { CloudEvent } from "../../../pubsub/cloud-event.ts";
import type { PublishedEvent, PublishTarget } from "../../../pubsub/publisher.ts";
import type { SubscriptionTrial } from "../../../pubsub/subscriptions.ts";

const MAX_BODY_BYTES = 1024;

/** Says what it was asked to make. */
class Maker extends PublishedAgain {
  readonly asked: { target: PublishTarget; event: PublishedEvent }[] = [];

  envelopeFor(target: PublishTarget, event: PublishedEvent): CloudEvent {
    if (target.topic === "closed") throw new OutriggerError("pubsubNotFound", "pubsub pubsub is not found");
    this.asked.push({ target, event });
    return new CloudEvent(new Map([["data", "1.10"]]));
  }
}

interface Served {
  readonly url: string;
  readonly topics: BrowsedTopics;
  readonly maker: Maker;
  readonly trials: SubscriptionTrial[];
}

async function serve(t: TestContext): Promise<Served> {
  const [topics, maker, trials]: [BrowsedTopics, Maker, SubscriptionTrial[]] = [new BrowsedTopics(), new Maker(), []];
  const api = {
    rules: { pubsubs: new Map([["pubsub", componentWith("pubsub", topics)]]) },
    subscriptions: { active: [subscriptionTo("orders", "dead/letters")], try: () => Promise.resolve(trials) },
    publisher: maker,
    clock: new ManualClock(),
    maxBodyBytes: MAX_BODY_BYTES,
  };
  return { url: await serveOutriggerApi(t, api), topics, maker, trials };
}

async function ask(url: string, init?: RequestInit): Promise<[status: number, body: unknown]> {
  const response = await fetch(url, init);
  assert.equal(response.headers.get("x-trace"), "t");
  const text = await response.text();
  return [response.status, text === "" ? undefined : (JSON.parse(text) as unknown)];
}

const LETTER = {
  ...{ specversion: "1.0", id: "e1", type: "order", source: "shop", topic: "orders", data: "<1>" },
  ...{ deadletterreason: "answered 500", deadletterattempts: 3 },
};
const SUMMARY = {
  ...{ id: "7-0", time: "1970-01-01T00:00:00.000Z", size: JSON.stringify(LETTER).length },
  ...{ event: { id: "e1", type: "order", source: "shop" }, originalTopic: "orders" },
  ...{ deadletterreason: "answered 500", deadletterattempts: "3" },
};

test("the overview has components and subscriptions, under the names of Dapr's metadata", async (t) => {
  const { url } = await serve(t);
  const component = { name: "pubsub", type: "pubsub.local", consumerID: "shop", capabilities: [], showsEvents: true };
  const subscription = {
    ...{ pubsubname: "pubsub", topic: "orders", type: "DECLARATIVE", deadLetterTopic: "dead/letters", metadata: {} },
    ...{ description: "orders of pubsub (declarative, orders)", rules: [{ match: "", path: "/orders" }] },
  };
  const overview = [200, { components: [component], subscriptions: [subscription] }];
  assert.deepEqual(await ask(`${url}/pubsub`), overview);
  assert.deepEqual(await ask(`${url}/pubsub/`), overview);
});

test("a dry run takes what publishing takes, and answers the envelope as it is, and what each subscription says", async (t) => {
  const { url, maker, trials } = await serve(t);
  trials.push({
    ...subscriptionTo("orders", "dead"),
    rules: [{ match: "event.type == 1", path: "/one", value: undefined, error: "no such overload" }],
    path: undefined,
    why: "rule 1 fails",
  });
  const headers = { "content-type": "application/json" };
  const query = "metadata.ttlInSeconds=5&metadata.ttlInSeconds=6&other=1&metadata.=x&metadata.a%26b=c";
  const response = await fetch(`${url}/pubsub/pubsub/a/b+c/dry-run?${query}`, {
    method: "POST",
    headers,
    body: "1.10",
  });
  const text = await response.text();
  assert.match(text, /^\{"event":\{"data":1\.10\},"subscriptions":\[/);
  const { subscriptions } = JSON.parse(text) as { subscriptions: Record<string, unknown>[] };
  const [trial] = subscriptions;
  assert.deepEqual(trial?.["rules"], [{ match: "event.type == 1", path: "/one", error: "no such overload" }]);
  assert.deepEqual([trial["why"], trial["topic"]], ["rule 1 fails", "orders"]);
  const [asked] = maker.asked;
  assert.deepEqual([asked?.target.pubsub, asked?.target.topic], ["pubsub", "a/b c"]);
  assert.deepEqual(Object.fromEntries(asked?.target.metadata ?? []), { ttlInSeconds: "5", "a&b": "c" });
  assert.equal(asked?.event.contentType, "application/json");
  assert.equal(Buffer.from(asked.event.data).toString(), "1.10");
});

test("a dry run refuses what publishing refuses, and bodies over the limit", async (t) => {
  const { url } = await serve(t);
  const reason = { domain: "dapr.io", metadata: {}, reason: "DAPR_PUBSUB_NOT_FOUND" };
  const details = [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", ...reason }];
  const notFound = { errorCode: "ERR_PUBSUB_NOT_FOUND", message: "pubsub pubsub is not found", details };
  assert.deepEqual(await ask(`${url}/pubsub/pubsub/closed/dry-run`, { method: "POST" }), [404, notFound]);
  const body = "x".repeat(MAX_BODY_BYTES + 1);
  assert.equal((await ask(`${url}/pubsub/pubsub/orders/dry-run`, { method: "POST", body }))[0], 413);
  const streamed = { method: "POST", body: new Blob([body]).stream(), duplex: "half" } as const;
  assert.equal((await fetch(`${url}/pubsub/pubsub/orders/dry-run`, streamed)).ok, false);
});

test("dead letters are counted, listed page by page, shown, replayed and removed", async (t) => {
  const { url, topics, maker } = await serve(t);
  const metadata = new Map([["key", "v"]]);
  topics.add("dead/letters", "7-0", LETTER, { contentType: "application/cloudevents+json", metadata });
  topics.add("dead/letters", "8/1", LETTER);
  const place = { pubsub: "pubsub", topic: "dead/letters", of: ["orders"] };
  const counted = { ...place, count: 2, more: false, oldest: "1970-01-01T00:00:00.000Z" };
  assert.deepEqual(await ask(`${url}/dead-letters`), [200, { topics: [counted] }]);
  const events = `${url}/pubsub/pubsub/dead%2Fletters/events`;
  const contentType = "application/cloudevents+json";
  assert.deepEqual(await ask(`${events}?limit=1`), [200, { events: [{ ...SUMMARY, contentType }], more: true }]);
  assert.deepEqual(await ask(`${events}?after=7-0`), [200, { events: [{ ...SUMMARY, id: "8/1" }], more: false }]);
  const whole = { ...SUMMARY, contentType, metadata: { key: "v" }, data: JSON.stringify(LETTER) };
  assert.deepEqual(await ask(`${url}/pubsub/pubsub/dead/letters/events/7-0`), [200, whole]);
  const replayed = [200, { id: "7-0", topic: "orders" }];
  assert.deepEqual(await ask(`${events}/7-0/replay`, { method: "POST" }), replayed);
  assert.equal(maker.events[0]?.target.topic, "orders");
  const replayedElsewhere = [200, { id: "8/1", topic: "bills" }];
  assert.deepEqual(await ask(`${events}/8%2F1/replay?to=bills`, { method: "POST" }), replayedElsewhere);
  topics.add("dead/letters", "9", LETTER);
  assert.deepEqual(await ask(`${events}/9`, { method: "DELETE" }), [204, undefined]);
  const [status, error] = await ask(`${events}/9`, { method: "DELETE" });
  assert.deepEqual([status, (error as { errorCode: string }).errorCode], [404, "ERR_PUBSUB_EVENT_NOT_FOUND"]);
});

test("bytes that are no text are shown in base64", async (t) => {
  const { url, topics } = await serve(t);
  topics.add("dead/letters", "1", "", { data: Buffer.from([0xff, 0x00]) });
  const [, shown] = await ask(`${url}/pubsub/pubsub/dead/letters/events/1`);
  const { data, dataBase64, event } = shown as Record<string, unknown>;
  assert.deepEqual([data, dataBase64, event], [undefined, "/wA=", undefined]);
});

for (const limit of ["0", "1001", "-1", "x", "1.5"]) {
  test(`a limit of ${limit} is refused`, async (t) => {
    const { url } = await serve(t);
    const [status, error] = await ask(`${url}/pubsub/pubsub/dead/letters/events?limit=${limit}`);
    const { errorCode, message } = error as { errorCode: string; message: string };
    assert.deepEqual([status, errorCode], [400, "ERR_MALFORMED_REQUEST"]);
    assert.match(message, /from 1 to 1000/);
  });
}

test("a broken escape in the path is told", async (t) => {
  const { url } = await serve(t);
  const [status, error] = await ask(`${url}/pubsub/pubsub/dead%2/events`);
  assert.deepEqual([status, (error as { errorCode: string }).errorCode], [400, "ERR_MALFORMED_REQUEST"]);
});

test("everything else under the prefix is left to others, other verbs too", async (t) => {
  const { url } = await serve(t);
  const others = [
    "GET /",
    "POST /pubsub",
    "GET /pubsub/pubsub/t",
    "GET /pubsub/pubsub/t/dry-run",
    "POST /pubsub//dry-run",
  ];
  others.push("PUT /pubsub/pubsub/t/events", "GET /pubsub/pubsub/t/events/1/replay", "GET /other");
  for (const other of others) {
    const [method = "", path = ""] = other.split(" ");
    assert.equal((await fetch(url + path, { method })).status, 418, other);
  }
});
