import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CloudEvent } from "./cloud-event.ts";

function event(text: string): CloudEvent {
  return CloudEvent.parse(Buffer.from(text));
}

test("an event that was parsed comes out as it was written; one that was changed has its names in order", () => {
  const text = '{"b": 1.10, "a": {"x" : 12345678901234567890}, "c":"\\u0041"}';
  const parsed = event(` ${text} `);
  assert.equal(parsed.toJson(), text);
  const changed = parsed.with(new Map([["d", undefined]]));
  assert.equal(changed.toJson(), '{"a":{"x" : 12345678901234567890},"b":1.10,"c":"\\u0041"}');
  assert.deepEqual([changed.text("c"), changed.text("b"), changed.text("d")], ["A", undefined, undefined]);
  assert.deepEqual(
    [parsed.has("b"), parsed.has("d"), changed.has("d"), parsed.has("toString")],
    [true, false, false, false],
  );
  assert.deepEqual(
    [parsed.raw("b"), parsed.text("c"), parsed.text("b"), parsed.text("d")],
    ["1.10", "A", undefined, undefined],
  );
  assert.deepEqual([...parsed.names].sort(), ["a", "b", "c"]);
});

test("a change makes another event", () => {
  const before = event('{"a":1,"b":2}');
  assert.equal(
    before
      .with(
        new Map([
          ["a", undefined],
          ["c", "3"],
        ]),
      )
      .toJson(),
    '{"b":2,"c":3}',
  );
  assert.equal(before.toJson(), '{"a":1,"b":2}');
  assert.equal(
    before
      .with(
        new Map([
          ["a", undefined],
          ["b", undefined],
        ]),
      )
      .toJson(),
    "{}",
  );
});

test("what is written is read again as the same", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue()), (members) => {
      const text = event(JSON.stringify(members)).toJson();
      assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(members)));
      assert.equal(event(text).toJson(), text);
    }),
  );
});

const REFUSED: readonly (readonly [text: string | Uint8Array, error: string])[] = [
  ["", "EOF"],
  ["{", "unexpected EOF"],
  ["[1]", "json: cannot unmarshal array into Go value of type map[string]interface {}"],
  ['"{}"', "json: cannot unmarshal string into Go value of type map[string]interface {}"],
  ["12", "json: cannot unmarshal number into Go value of type map[string]interface {}"],
  ["true", "json: cannot unmarshal bool into Go value of type map[string]interface {}"],
  ["null", "json: cannot unmarshal null into Go value of type map[string]interface {}"],
  [`{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`, "exceeded max depth"],
  [Buffer.from('{"a":"\xff"}', "latin1"), "the event is not UTF-8"],
];

for (const [text, message] of REFUSED) {
  test(`no event: ${message}: ${String(text).slice(0, 20)}`, () => {
    assert.throws(() => CloudEvent.parse(Buffer.from(text)), { message });
  });
}

test("the bytes that were published come out again", () => {
  const said = (text: string): readonly [string, string | undefined] => {
    const { bytes, contentType } = event(text).dataBytes();
    return [Buffer.from(bytes).toString("latin1"), contentType];
  };
  assert.deepEqual(said('{"data":{"a": 1.0},"datacontenttype":"application/json"}'), [
    '{"a": 1.0}',
    "application/json",
  ]);
  assert.deepEqual(said('{"data":"{oops","datacontenttype":"application/json"}'), ['"{oops"', "application/json"]);
  assert.deepEqual(said('{"data":"a\\nb","datacontenttype":"text/plain"}'), ["a\nb", "text/plain"]);
  assert.deepEqual(said('{"data":"{}","datacontenttype":"application/x+json"}'), ["{}", "application/x+json"]);
  assert.deepEqual(said('{"data":[1],"datacontenttype":"text/plain"}'), ["[1]", "text/plain"]);
  assert.deepEqual(said('{"data_base64":"AP8=","datacontenttype":"image/png"}'), ["\u0000\xff", "image/png"]);
  assert.deepEqual(said('{"data":{"k":1}}'), ['{"k":1}', "application/json"], "what does not say is JSON");
  assert.deepEqual(said("{}"), ["", undefined]);
});
