import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../test/support/manual-clock.ts";
import { componentOf, RememberingBroker } from "../../test/support/remembering-broker.ts";
import { CallAbort } from "../core/call-signal.ts";
import type { OutriggerError } from "../core/errors.ts";
import { traceContextOf } from "../core/trace-context.ts";
import { ResiliencyPolicies } from "../resiliency/resiliency-policies.ts";
import { readResiliency } from "../resources/resiliency-spec.ts";
import { parseYaml } from "../resources/yaml-file.ts";
import type { PubSubObserver } from "./ports.ts";
import { Publisher, type PublishTarget } from "./publisher.ts";
import { topicScopes } from "./scopes.ts";

const TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

function fleet(retries = false) {
  const clock = new ManualClock();
  const broker = new RememberingBroker();
  const seen: unknown[] = [];
  const observer: PubSubObserver = {
    published: (...args) => seen.push(["one", ...args]),
    bulkPublished: (...args) => seen.push(["bulk", ...args]),
    delivered: () => undefined,
    bulkDelivered: () => undefined,
  };
  const scopes = topicScopes({ get: (field) => (field === "protectedTopics" ? "secret" : undefined) }, "shop");
  const pubsubs = new Map([["mem", componentOf("mem", broker, scopes)]]);
  const policies = retries ? policiesFor(clock) : undefined;
  const publisher = new Publisher({ appId: "shop", rules: { pubsubs, policies }, observer, clock });
  return { publisher, broker, clock, seen };
}

function policiesFor(clock: ManualClock): ResiliencyPolicies {
  const [document] = parseYaml(
    `apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: {name: r}
spec:
  policies:
    timeouts: {fast: 1s}
    retries: {twice: {policy: constant, duration: 0s, maxRetries: 2}}
  targets:
    components: {mem: {outbound: {timeout: fast, retry: twice}}}
`,
    "r.yaml",
  );
  assert.ok(document);
  return new ResiliencyPolicies({ specs: [readResiliency(document)], compileTrip: () => () => false, clock });
}

function target(more: Partial<PublishTarget> = {}): PublishTarget {
  const trace = traceContextOf([]);
  return { pubsub: "mem", topic: "t", metadata: new Map(), trace, signal: new CallAbort(), ...more };
}

const text = { data: Buffer.from("hi"), contentType: "text/plain" };

function entry(entryId: string, data = "hi", metadata: ReadonlyMap<string, string> = new Map()) {
  return { entryId, data: Buffer.from(data), contentType: "text/plain", metadata };
}

/** Moves time on until there is a result, a second at a turn. */
async function inTime<Result>(clock: ManualClock, work: Promise<Result>): Promise<Result> {
  const state = { isOver: false };
  const over = work.finally(() => {
    state.isOver = true;
  });
  over.catch(() => undefined);
  for (let turns = 0; !state.isOver && turns < 1000; turns++) {
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(1000);
  }
  return over;
}

async function refused(doing: Promise<unknown>): Promise<Partial<OutriggerError>> {
  const error = await doing.then(
    () => assert.fail("it was published"),
    (thrown: unknown) => thrown as OutriggerError,
  );
  const { errorCode, message, infoMetadata } = error;
  return { errorCode, message, infoMetadata };
}

test("a broker that fails is told of with its own words, and counted", async () => {
  const { publisher, broker, seen } = fleet();
  broker.before = () => Promise.reject(new Error("disk full"));
  assert.deepEqual(await refused(publisher.publish(target(), text)), {
    errorCode: "ERR_PUBSUB_PUBLISH_MESSAGE",
    message: "error when publishing to topic t in pubsub mem: disk full",
    infoMetadata: { topic: "t", error: "disk full" },
  });
  broker.before = () => undefined;
  await publisher.publish(target(), text);
  assert.deepEqual(seen, [
    ["one", "mem", "t", false, 0],
    ["one", "mem", "t", true, 0],
  ]);
});

test("a topic out of scope is refused before the broker hears of it", async () => {
  const { publisher, broker } = fleet();
  assert.equal((await refused(publisher.publish(target({ topic: "secret" }), text))).errorCode, "ERR_PUBSUB_FORBIDDEN");
  assert.equal(
    (await refused(publisher.publishBulk(target({ topic: "secret" }), [entry("1")]))).errorCode,
    "ERR_PUBSUB_FORBIDDEN",
  );
  assert.deepEqual(broker.taken, []);
});

for (const value of ["1", "t", "T", "true", "TRUE", "True"]) {
  test(`rawPayload=${value} publishes the bytes as they are, with the trace beside them`, async () => {
    const { publisher, broker } = fleet();
    const trace = traceContextOf(["traceparent", TRACEPARENT, "tracestate", "a=b"]);
    const data = Buffer.from([0, 255]);
    await publisher.publish(target({ metadata: new Map([["rawPayload", value]]), trace }), {
      data,
      contentType: "x/y",
    });
    const [event] = broker.taken;
    assert.deepEqual([event?.data, event?.contentType], [data, "x/y"]);
    assert.deepEqual(Object.fromEntries(event?.metadata ?? []), {
      rawPayload: value,
      traceid: TRACEPARENT,
      tracestate: "a=b",
    });
  });
}

test("rawPayload=0 makes an event, and what is no boolean is refused", async () => {
  const { publisher, broker } = fleet();
  await publisher.publish(target({ metadata: new Map([["rawPayload", "0"]]) }), text);
  assert.match(String(broker.taken[0]?.data), /^\{"data":"hi",/);
  const { infoMetadata } = await refused(
    publisher.publish(target({ metadata: new Map([["rawPayload", "yes"]]) }), text),
  );
  assert.deepEqual(infoMetadata, { rawPayload: "yes" });
});

test("of many events, those that were not taken are named; each has the metadata of the request, under its own", async () => {
  const { publisher, broker, seen } = fleet();
  broker.before = ({ data }) => {
    if (String(data).includes('"bad"')) throw new Error("too bad");
  };
  const metadata = new Map([
    ["k", "request"],
    ["l", "request"],
  ]);
  const entries = [entry("1"), entry("2", "bad"), entry("3", "x", new Map([["k", "own"]]))];
  assert.deepEqual(await publisher.publishBulk(target({ metadata }), entries), [{ entryId: "2", error: "too bad" }]);
  assert.deepEqual(
    broker.taken.map((event) => Object.fromEntries(event.metadata)),
    [
      { k: "request", l: "request" },
      { k: "own", l: "request" },
    ],
  );
  assert.deepEqual(seen, [["bulk", "mem", "t", false, 0]]);
  assert.deepEqual(await publisher.publishBulk(target(), []), []);
});

test("entries without an id, or with one twice, are refused", async () => {
  const { publisher } = fleet();
  for (const entries of [[entry("")], [entry("1"), entry("1")]]) {
    assert.equal((await refused(publisher.publishBulk(target(), entries))).errorCode, "ERR_PUBSUB_EVENTS_SER");
  }
});

test("under a policy it is tried again; of many, only what was not taken", async () => {
  const { publisher, broker, clock } = fleet(true);
  const failing = new Map([
    ["a", 2],
    ["b", 1],
  ]);
  broker.before = ({ data }) => {
    const { data: said } = JSON.parse(String(data)) as { readonly data: string };
    const left = failing.get(said) ?? 0;
    failing.set(said, left - 1);
    if (left > 0) throw new Error("not yet");
  };
  assert.deepEqual(
    await inTime(
      clock,
      publisher.publishBulk(
        target(),
        ["a", "b", "c"].map((id) => entry(id, id)),
      ),
    ),
    [],
  );
  assert.deepEqual(
    broker.taken.map(({ data }) => (JSON.parse(String(data)) as { data: string }).data),
    ["c", "b", "a"],
  );
  failing.set("d", 3);
  assert.match(
    (await refused(inTime(clock, publisher.publish(target(), { ...text, data: Buffer.from("d") })))).message ?? "",
    /: not yet$/,
  );
});

test("a broker that never answers is not waited for when the publisher has left, nor after the time of a try", async () => {
  const { publisher, broker } = fleet();
  broker.before = () => new Promise<void>(() => undefined);
  const signal = new CallAbort();
  const publishing = refused(publisher.publish(target({ signal }), text));
  signal.abort(new Error("gone"));
  assert.match((await publishing).message ?? "", /: gone$/);

  const timed = fleet(true);
  timed.broker.before = () => new Promise<void>(() => undefined);
  const failed = await inTime(timed.clock, timed.publisher.publishBulk(target(), [entry("1")]));
  assert.match(JSON.stringify(failed), /"entryId":"1","error":"context deadline exceeded/);
});
