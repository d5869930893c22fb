import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { traceContextOf } from "../core/trace-context.ts";
import { CloudEvent } from "./cloud-event.ts";
import { type EnvelopeContext, envelopeOf, rawPayloadEvent } from "./envelope.ts";

const NOW = Date.UTC(2026, 10, 21, 12, 0, 0, 250);
const TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

function context(
  metadata: Readonly<Record<string, string>> = {},
  more: Partial<EnvelopeContext> = {},
): EnvelopeContext {
  const entries = new Map(Object.entries(metadata));
  const place = { appId: "shop", pubsub: "mem", topic: "orders" };
  return { ...place, metadata: entries, trace: traceContextOf([]), now: NOW, brokerExpires: false, ...more };
}

function made(body: string | Uint8Array, contentType?: string, about = context()): CloudEvent {
  return envelopeOf({ data: Buffer.from(body), contentType }, about);
}

test("any JSON stays digit for digit", () => {
  fc.assert(
    fc.property(fc.json(), fc.constantFrom("application/json", "Application/JSON; charset=utf-8"), (json, type) => {
      assert.equal(made(` ${json}\n`, type).raw("data"), json);
    }),
  );
  assert.equal(
    made("[1.10,1e999999,12345678901234567890]", "application/json").raw("data"),
    "[1.10,1e999999,12345678901234567890]",
  );
});

test("any body of any type makes an event that can be read, and that has the body's bytes", () => {
  const types = ["application/json", "text/plain", "application/xml", "application/octet-stream", "a/b", "", "\u0000;"];
  fc.assert(
    fc.property(
      fc.uint8Array(),
      fc.option(fc.oneof(fc.constantFrom(...types), fc.string()), { nil: undefined }),
      (body, type) => {
        fc.pre(type?.toLowerCase().startsWith("application/cloudevents+json") !== true);
        const text = made(body, type).toJson();
        JSON.parse(text);
        const event = CloudEvent.parse(Buffer.from(text));
        assert.equal(event.toJson(), text);
        const { bytes } = event.dataBytes();
        const isRewritten =
          event.raw("data")?.startsWith('"') === true && /^application\/json *(?:;|$)/i.test(type ?? "");
        const back = isRewritten ? Buffer.from(event.text("data") ?? "") : Buffer.from(bytes);
        if (event.raw("data") === undefined || !isJsonType(type) || isRewritten)
          assert.deepEqual(back, Buffer.from(unspaced(body, isRewritten)));
      },
    ),
    { numRuns: 1000 },
  );
});

function isJsonType(type = ""): boolean {
  return /^\s*application\/json\s*(?:;|$)/i.test(type);
}

/** A JSON string says what is between its quotes. */
function unspaced(body: Uint8Array, isJson: boolean): Uint8Array {
  if (!isJson) return body;
  try {
    return Buffer.from(String(JSON.parse(Buffer.from(body).toString())));
  } catch {
    return body;
  }
}

test("a text has Go's escapes; what is no UTF-8 is kept in base64, whatever it is said to be", () => {
  assert.equal(made("<a&b>\u2028").raw("data"), '"\\u003ca\\u0026b\\u003e\\u2028"');
  for (const type of ["text/plain", "application/json", "a/b"]) {
    const event = made(Buffer.from([0x22, 0xff, 0x22]), type);
    assert.deepEqual(
      [event.raw("data"), event.text("data_base64"), event.text("datacontenttype")],
      [undefined, "Iv8i", type],
    );
  }
  assert.equal(made("\ufffd").text("data"), "\ufffd", "a replacement character that was sent");
});

for (const type of ["application/octet-stream", "application/cloudevents+protobuf", "application/x-protobuf"]) {
  test(`${type} is kept in base64`, () => {
    assert.equal(made("hi", `${type}; x=y`).text("data_base64"), "aGk=");
  });
}

test("JSON that is nested too deeply for Go is a string", () => {
  const deep = "[".repeat(100_000) + "]".repeat(100_000);
  assert.equal(made(deep, "application/json").text("data"), deep);
});

test("overrides are found in any case; one that is empty asks for the default", () => {
  const event = made(
    "x",
    undefined,
    context({
      "CloudEvent.ID": "other",
      "cloudevent.id": "mine",
      "CLOUDEVENT.SOURCE": "src",
      "cloudevent.type": "",
      "cloudevent.subject": "sub",
      "cloudevent.traceid": "t1",
      "cloudevent.tracestate": "a=b",
      "cloudevent.data": "no",
    }),
  );
  const names = ["id", "source", "type", "subject", "traceid", "traceparent", "tracestate", "data"];
  assert.deepEqual(
    names.map((name) => event.text(name)),
    ["mine", "src", "com.dapr.event.sent", "sub", "t1", "t1", "a=b", "x"],
  );
  const superseded = made("x", undefined, context({ "cloudevent.traceid": "t1", "cloudevent.traceparent": "t2" }));
  assert.deepEqual([superseded.text("traceid"), superseded.text("traceparent")], ["t2", "t2"]);
});

test("the trace is the request's, and empty where that is none", () => {
  const traced = (headers: string[]): unknown[] => {
    const event = made("x", undefined, context({}, { trace: traceContextOf(headers) }));
    return ["traceid", "traceparent", "tracestate"].map((name) => event.text(name));
  };
  assert.deepEqual(traced(["traceparent", TRACEPARENT, "tracestate", "a=b"]), [TRACEPARENT, TRACEPARENT, "a=b"]);
  assert.deepEqual(traced(["traceparent", "zz", "tracestate", "a=b"]), ["", "", ""]);
  assert.deepEqual(traced([]), ["", "", ""]);
});

const TTLS: readonly (readonly [metadata: Record<string, string>, expiration: string | undefined])[] = [
  [{ ttlInSeconds: "60" }, "2026-11-21T12:01:00.250Z"],
  [{ TTLINSECONDS: "+1" }, "2026-11-21T12:00:01.250Z"],
  [{ ttl: "1m30s" }, "2026-11-21T12:01:30.250Z"],
  [{ ttl: "750ms" }, "2026-11-21T12:00:01Z"],
  [{ ttl: "1s", ttlInSeconds: "60" }, "2026-11-21T12:00:01.250Z"],
  [{ ttl: "-1s" }, "2026-11-21T12:00:00.250Z"],
  [{ ttlInSeconds: "999999999999999999" }, "2319-03-03T11:47:17.104Z"],
  [{ ttlInSeconds: "abc" }, undefined],
  [{ ttlInSeconds: "-5" }, undefined],
  [{ ttlInSeconds: "1.5" }, undefined],
  [{ ttlInSeconds: "" }, undefined],
  [{}, undefined],
];

for (const [metadata, expiration] of TTLS) {
  test(`${JSON.stringify(metadata)} expires ${expiration ?? "never"}`, () => {
    assert.equal(made("x", undefined, context(metadata)).text("expiration"), expiration);
    assert.equal(made("{}", "application/cloudevents+json", context(metadata)).text("expiration"), expiration);
    assert.equal(made("x", undefined, context(metadata, { brokerExpires: true })).text("expiration"), undefined);
  });
}

test("an event of the publisher's own keeps all but where it goes and its trace; nothing overrides it", () => {
  const taken = new Set(["pubsubname", "topic", "traceid", "traceparent", "tracestate"]);
  fc.assert(
    fc.property(fc.dictionary(fc.string({ unit: "binary", minLength: 1 }), fc.jsonValue()), (members) => {
      const own = JSON.stringify({ source: "s", specversion: "1.0", type: "t", time: "then", n: 0, ...members });
      const event = made(
        own.replace('"n":0', '"n":1.10'),
        "application/cloudevents+json",
        context({ "cloudevent.id": "x", "cloudevent.type": "y" }),
      );
      const before = CloudEvent.parse(Buffer.from(own.replace('"n":0', '"n":1.10')));
      for (const name of before.names) {
        const raw = before.raw(name);
        if (!taken.has(name) && raw !== "null") assert.equal(event.raw(name), raw, name);
      }
      assert.deepEqual(
        ["pubsubname", "topic", "traceid"].map((name) => event.text(name)),
        ["mem", "orders", ""],
      );
    }),
  );
});

test("what such an event leaves out, or says is null, is Dapr's; its id is not made up", () => {
  const event = made('{"data":1,"source":null}', "application/cloudevents+json");
  assert.deepEqual(
    ["source", "type", "specversion"].map((name) => event.text(name)),
    ["Dapr", "com.dapr.event.sent", "1.0"],
  );
  assert.match(event.text("time") ?? "", /^2026-11-2\dT\d\d:\d\d:00(?:Z|[+-]\d\d:\d\d)$/);
  assert.equal(event.raw("id"), undefined);
});

test("a raw payload is wrapped with what is known of it", () => {
  const event = rawPayloadEvent(Buffer.from([0, 255]), "raw", "mem");
  assert.match(event.text("id") ?? "", /^[0-9a-f-]{36}$/);
  assert.equal(
    event.with(new Map([["id", undefined]])).toJson(),
    '{"data_base64":"AP8=","datacontenttype":"application/octet-stream","pubsubname":"mem","source":"Dapr","specversion":"1.0","topic":"raw","type":"com.dapr.event.sent"}',
  );
});
