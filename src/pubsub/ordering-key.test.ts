import assert from "node:assert/strict";
import { test } from "node:test";
import type { IncomingEvent } from "../components/contract/pubsub.ts";
import { eventExpressionsFor } from "./event-expressions.ts";
import { orderingKeyOf } from "./ordering-key.ts";

function incoming(data: string): IncomingEvent {
  const bytes = Buffer.from(data);
  return { id: "b1", topic: "orders", data: bytes, contentType: undefined, metadata: new Map(), attempt: 1 };
}

async function keys(metadata: Readonly<Record<string, string>>) {
  const subscription = { pubsub: "mem", rules: [], metadata: new Map(Object.entries(metadata)) };
  const told: string[] = [];
  const keyOf = orderingKeyOf(subscription, (why) => told.push(why), await eventExpressionsFor([subscription]));
  return { keyOf: (data: string) => keyOf?.(incoming(data)), told, isThere: keyOf !== undefined };
}

test("a string, a number or a boolean is a key", async () => {
  const { keyOf, told } = await keys({ orderingKey: "event.data.customer" });
  const ofCustomer = (json: string): string | undefined => keyOf(`{"data":{"customer":${json}}}`);
  assert.equal(ofCustomer('"c-1"'), "c-1");
  assert.equal(ofCustomer('""'), "");
  assert.equal(ofCustomer("17"), "17");
  assert.equal(ofCustomer("1.5"), "1.5");
  assert.equal(ofCustomer("9007199254740993"), "9007199254740993");
  assert.equal(ofCustomer("true"), "true");
  assert.deepEqual(told, []);
});

test("what is no key, or fails, is none, and is told once", async () => {
  const { keyOf, told } = await keys({ orderingKey: "event.data.customer" });
  for (const data of ['{"data":{}}', '{"data":{"customer":null}}', '{"data":{"customer":[1]}}', "{", ""]) {
    assert.equal(keyOf(data), undefined);
  }
  assert.equal(told.length, 1);
  assert.match(
    told[0] ?? "",
    /^event b1 of orders: orderingKey "event\.data\.customer" failed: there is no field customer/,
  );
  const other = await keys({ orderingKey: "event.data" });
  assert.equal(other.keyOf('{"data":{"a":1}}'), undefined);
  assert.match(other.told[0] ?? "", /is \{"a": 1\.0\}; a key is a string, a number or a boolean/);
});

test("keys of raw payloads are read from their bytes", async () => {
  const { keyOf } = await keys({ orderingKey: "string(event.data)", rawPayload: "true" });
  assert.equal(keyOf("plain"), "plain");
});

test("without an ordering key in the metadata there are no keys, and CEL is not loaded", async () => {
  assert.equal((await keys({ rawPayload: "true" })).isThere, false);
  assert.equal(await eventExpressionsFor([{ rules: [{ match: " ", path: "/" }], metadata: new Map() }]), undefined);
});

test("an ordering key that is no CEL expression is refused", async () => {
  await assert.rejects(
    keys({ orderingKey: "event.data. ." }),
    /^Error: orderingKey: "event\.data\. \." is no CEL expression: /,
  );
});
