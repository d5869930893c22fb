import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { BrowsedTopics, componentWith, PublishedAgain, subscriptionTo } from "../../test/support/dead-letters.ts";
import { ManualClock } from "../../test/support/manual-clock.ts";
import { CallAbort } from "../core/call-signal.ts";
import { OutriggerError } from "../core/errors.ts";
import { traceContextOf } from "../core/trace-context.ts";
import { DeadLetterQueue } from "./dead-letter-queue.ts";

const LETTER = {
  ...{ specversion: "1.0", id: "e1", type: "order", source: "shop", topic: "orders", data: { n: 1 } },
  ...{ deadletterreason: "answered 500", deadletterattempts: 3, deadletterstatus: "500", deadlettertopic: "orders" },
};

function set(): { topics: BrowsedTopics; published: PublishedAgain; clock: ManualClock; queue: DeadLetterQueue } {
  const topics = new BrowsedTopics();
  const published = new PublishedAgain();
  const clock = new ManualClock();
  const components = [componentWith("pubsub", topics, ["secret", "dead"]), componentWith("memory", undefined)];
  const queue = new DeadLetterQueue({
    rules: { pubsubs: new Map(components.map((component) => [component.name, component])) },
    subscriptions: {
      active: [
        subscriptionTo("orders", "dead"),
        subscriptionTo("bills", "dead"),
        subscriptionTo("plain"),
        subscriptionTo("news", "lost", "memory"),
      ],
    },
    publisher: published,
    clock,
  });
  return { topics, published, clock, queue };
}

const dead = (id: string): { pubsub: string; topic: string; id: string } => ({ pubsub: "pubsub", topic: "dead", id });

const CALL = { trace: traceContextOf([]), signal: new CallAbort() };

async function refusal(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(() => undefined).catch((thrown: unknown) => thrown);
  assert.ok(error instanceof OutriggerError, String(error));
  return `${error.kind}: ${error.message}`;
}

describe("the dead letter queue", () => {
  test("its topics are those of the subscriptions, each once, with what lies there or why that cannot be known", async () => {
    const { topics, queue } = set();
    topics.add("dead", "1", LETTER, { publishedAtMs: 5000 });
    topics.add("dead", "2", LETTER, { publishedAtMs: 6000 });
    const [memory, pubsub, ...rest] = await queue.topics();
    assert.deepEqual(rest, []);
    const counted = { count: 2, isMore: false, oldestAtMs: 5000, error: undefined };
    assert.deepEqual(pubsub, { pubsub: "pubsub", topic: "dead", of: ["orders", "bills"], ...counted });
    assert.equal(memory?.topic, "lost");
    assert.equal(memory.count, undefined);
    assert.match(memory.error ?? "", /memory is pubsub\.in-memory, which does not show what it holds/);
  });

  test("counting stops at a thousand, and never has many events at once", async () => {
    const { topics, queue } = set();
    for (let n = 0; n < 1005; n++) topics.add("dead", String(n), LETTER);
    const [, pubsub] = await queue.topics();
    assert.deepEqual([pubsub?.count, pubsub?.isMore], [1000, true]);
    assert.ok(Math.max(...topics.pages) <= 50);
  });

  test("a list goes on behind the event that it is told, and says whether there is more", async () => {
    const { topics, queue } = set();
    for (const id of ["1", "2", "3", "4"]) topics.add("dead", id, LETTER);
    const ids = async (limit: number, after?: string): Promise<[ids: readonly string[], isMore: boolean]> => {
      const { events, isMore } = await queue.list(dead(""), limit, after, ({ stored }) => stored.id);
      return [events, isMore];
    };
    assert.deepEqual(await ids(2), [["1", "2"], true]);
    assert.deepEqual(await ids(2, "2"), [["3", "4"], false]);
    assert.deepEqual(await ids(10), [["1", "2", "3", "4"], false]);
    assert.deepEqual(await ids(10, "4"), [[], false]);
  });

  test("a dead letter says why it is one, and where it comes from", async () => {
    const { topics, queue } = set();
    topics.add("dead", "1", LETTER);
    const event = await queue.get(dead("1"));
    assert.equal(event.originalTopic, "orders");
    assert.deepEqual(Object.fromEntries(event.why), {
      ...{
        deadletterreason: "answered 500",
        deadletterattempts: "3",
        deadletterstatus: "500",
        deadlettertopic: "orders",
      },
    });
  });

  test("a replayed event is published to its topic without its why, with its metadata, and is gone then", async () => {
    const { topics, published, queue } = set();
    const metadata = new Map([["partitionKey", "7"]]);
    topics.add("dead", "1", LETTER, { contentType: "application/cloudevents+json", metadata });
    topics.add("dead", "2", LETTER);
    assert.equal(await queue.replay({ ...dead("1"), ...CALL, to: undefined }), "orders");
    const [sent] = published.events;
    assert.equal(published.events.length, 1);
    assert.deepEqual([sent?.target.pubsub, sent?.target.topic], ["pubsub", "orders"]);
    assert.deepEqual([sent?.event.contentType, sent?.target.metadata], ["application/cloudevents+json", metadata]);
    const { specversion, id, type, source, topic, data } = LETTER;
    const json = JSON.parse(Buffer.from(sent?.event.data ?? []).toString()) as unknown;
    assert.deepEqual(json, { specversion, id, type, source, topic, data });
    assert.deepEqual(topics.ids("dead"), ["2"]);
  });

  test("without extensions the envelope's topic counts, and the bytes go out as they are", async () => {
    const { topics, published, queue } = set();
    const text = '{"topic":"bills", "specversion":"1.0", "id":"e", "data":1.10}';
    topics.add("dead", "1", text);
    assert.equal(await queue.replay({ ...dead("1"), ...CALL, to: undefined }), "bills");
    assert.equal(Buffer.from(published.events[0]?.event.data ?? []).toString(), text);
  });

  test("a raw payload has its why in the metadata, where it is taken out again", async () => {
    const { topics, published, queue } = set();
    topics.add("dead", "1", "raw", { metadata: new Map(Object.entries({ key: "v", deadlettertopic: "bills" })) });
    assert.equal(await queue.replay({ ...dead("1"), ...CALL, to: undefined }), "bills");
    assert.deepEqual(published.events[0]?.target.metadata, new Map([["key", "v"]]));
  });

  test("an expiration that has passed is left out, one that has not stays", async () => {
    const { topics, published, clock, queue } = set();
    const at = (ms: number): string => new Date(clock.now() + ms).toISOString();
    topics.add("dead", "1", { ...LETTER, expiration: at(-1000) });
    topics.add("dead", "2", { ...LETTER, expiration: at(1000) });
    for (const id of ["1", "2"]) await queue.replay({ ...dead(id), ...CALL, to: undefined });
    const expirations = published.events.map(({ event }) => {
      return (JSON.parse(Buffer.from(event.data).toString()) as { expiration?: string }).expiration;
    });
    assert.deepEqual(expirations, [undefined, at(1000)]);
  });

  test("an event that does not say where it comes from, or comes from here, stays until it is told where to go", async () => {
    const { topics, published, queue } = set();
    topics.add("dead", "raw", '{"topic":"orders"}');
    topics.add("dead", "bytes", "\u0000\u0001");
    topics.add("dead", "own", { ...LETTER, deadlettertopic: undefined, topic: "dead" });
    const replay = (id: string, to?: string): Promise<string> => queue.replay({ ...dead(id), ...CALL, to });
    assert.match(await refusal(replay("raw")), /^deadLetterRefused: .*raw.*\?to=/);
    assert.match(await refusal(replay("bytes")), /^deadLetterRefused: .*no CloudEvent.*\?to=/);
    assert.match(await refusal(replay("own")), /^deadLetterRefused: .*where it is already.*\?to=/);
    assert.match(await refusal(replay("own", "dead")), /^deadLetterRefused: /);
    assert.deepEqual(published.events, []);
    for (const id of topics.ids("dead")) assert.equal(await replay(id, "elsewhere"), "elsewhere");
    assert.deepEqual(topics.ids("dead"), []);
  });

  test("what cannot be published stays where it is", async () => {
    const { topics, published, queue } = set();
    topics.add("dead", "1", LETTER);
    published.fails = new OutriggerError("pubsubNotFound", "the broker says no");
    const why = await refusal(queue.replay({ ...dead("1"), ...CALL, to: undefined }));
    assert.equal(why, "pubsubNotFound: the broker says no");
    assert.deepEqual(topics.ids("dead"), ["1"]);
  });

  test("where it is published and cannot be removed, it says so", async () => {
    const { topics, published, queue } = set();
    topics.add("dead", "1", LETTER);
    topics.removalFails = new Error("the disk is full");
    const why = await refusal(queue.replay({ ...dead("1"), ...CALL, to: undefined }));
    assert.match(why, /^browsingFailed: .*published to orders.*the disk is full.*twice/);
    assert.equal(published.events.length, 1);
  });

  test("an event that is not there is told as such, for each thing that could be done with it", async () => {
    const { queue } = set();
    for (const work of [
      queue.get(dead("9")),
      queue.remove(dead("9")),
      queue.replay({ ...dead("9"), ...CALL, to: "x" }),
    ]) {
      assert.match(await refusal(work), /^storedEventNotFound: topic dead of pubsub pubsub has no event 9/);
    }
  });

  test("a broker that shows nothing, and a component that there is not, are told by name", async () => {
    const { queue } = set();
    const ask = (pubsub: string): Promise<string> => refusal(queue.get({ pubsub, topic: "lost", id: "1" }));
    assert.match(await ask("memory"), /^brokerNotBrowsable: pubsub memory is pubsub\.in-memory.*subscribe/);
    assert.equal(await ask("nowhere"), "pubsubNotFound: pubsub nowhere is not found");
  });

  test("a topic that the app may not subscribe to is closed, but for its own dead letters", async () => {
    const { topics, queue } = set();
    topics.add("secret", "1", { ...LETTER, topic: "secret" });
    topics.add("dead", "1", LETTER);
    assert.match(
      await refusal(queue.get({ pubsub: "pubsub", topic: "secret", id: "1" })),
      /^notDeadLetters: .*dead, lost/,
    );
    assert.equal((await queue.get(dead("1"))).stored.id, "1");
  });

  test("of other topics only dead letters can be removed or replayed", async () => {
    const { topics, queue } = set();
    topics.add("orders", "1", { ...LETTER, deadlettertopic: undefined });
    topics.add("orders", "2", "raw");
    topics.add("former", "3", LETTER);
    const remove = (topic: string, id: string): Promise<void> => queue.remove({ pubsub: "pubsub", topic, id });
    for (const id of ["1", "2"])
      assert.match(await refusal(remove("orders", id)), /^deadLetterRefused: .*no dead letter/);
    const replayed = queue.replay({ pubsub: "pubsub", topic: "orders", id: "2", ...CALL, to: "bills" });
    assert.match(await refusal(replayed), /^deadLetterRefused: .*no dead letter/);
    await remove("former", "3");
    assert.deepEqual([topics.ids("orders"), topics.ids("former")], [["1", "2"], []]);
  });
});
