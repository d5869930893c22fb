import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { bulkEntriesIn } from "./bulk-request.ts";
import { fromGoBase64 } from "./go-base64.ts";

const PLACE = { appId: "shop", pubsub: "mem", topic: "t" };

function entries(text: string) {
  return bulkEntriesIn(Buffer.from(text), PLACE).map(({ data, ...entry }) => ({ ...entry, data: String(data) }));
}

test("an event is what its content type says, JSON as it was written", () => {
  const text = `[ {"entryId":"1","event": {"n":1.10, "big":12345678901234567890} ,"contentType":"application/json"},
    {"entryid":"2","EVENT":"a\\nb","contenttype":"text/plain","metadata":{"k":"v","n":null}},
    {"entryId":"3","event":"aGk=","contentType":"application/octet-stream"},
    {"entryId":"4","contentType":"application/json","event":1,"event":2} ]`;
  assert.deepEqual(entries(text), [
    {
      entryId: "1",
      contentType: "application/json",
      metadata: new Map(),
      data: '{"n":1.10, "big":12345678901234567890}',
    },
    {
      entryId: "2",
      contentType: "text/plain",
      metadata: new Map([
        ["k", "v"],
        ["n", ""],
      ]),
      data: "a\nb",
    },
    { entryId: "3", contentType: "application/octet-stream", metadata: new Map(), data: "hi" },
    { entryId: "4", contentType: "application/json", metadata: new Map(), data: "2" },
  ]);
  assert.deepEqual(entries(" null "), []);
});

const UNMARSHAL = "error when unmarshaling the request for topic t pubsub mem: ";
const ENVELOPE = "error when marshalling cloud event envelope for topic t pubsub mem: ";
const MISMATCH = `${ENVELOPE}error: mismatch between contentType and event`;
const REFUSED: readonly (readonly [text: string, message: string])[] = [
  ["", `${UNMARSHAL}EOF`],
  ["[{]", `${UNMARSHAL}invalid character ']' looking for beginning of object key string`],
  ['"x"', `${UNMARSHAL}json: cannot unmarshal string into Go value of type []http.bulkPublishMessageEntry`],
  ["[1]", `${UNMARSHAL}json: cannot unmarshal number into Go value of type http.bulkPublishMessageEntry`],
  [
    '[{"entryId":1}]',
    `${UNMARSHAL}json: cannot unmarshal number into Go struct field bulkPublishMessageEntry.entryId of type string`,
  ],
  [
    '[{"metadata":"x"}]',
    `${UNMARSHAL}json: cannot unmarshal string into Go struct field bulkPublishMessageEntry.metadata of type map[string]string`,
  ],
  [
    '[{"metadata":{"k":true}}]',
    `${UNMARSHAL}json: cannot unmarshal bool into Go struct field bulkPublishMessageEntry.metadata of type string`,
  ],
  ["[null]", MISMATCH],
  ['[{"entryId":"1","event":"x","contentType":"a/b"}]', MISMATCH],
  ['[{"entryId":"1","event":{},"contentType":"text/plain"}]', MISMATCH],
  ['[{"entryId":"1","contentType":"application/octet-stream"}]', MISMATCH],
  [
    '[{"entryId":"1","event":"a*c=","contentType":"application/octet-stream"}]',
    `${ENVELOPE}error: unable to decode base64 application/octect-stream data: illegal base64 data at input byte 1`,
  ],
  [
    '[{"event":1,"contentType":"application/json"}]',
    "error marshaling events to bytes for topic t pubsub mem. error: entryId is duplicated or not present for entry",
  ],
];

for (const [text, message] of REFUSED) {
  test(`${text}: ${message}`, () => {
    assert.throws(() => entries(text), { message });
  });
}

test("any bytes refuse in one of the three ways, or are entries", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array(),
        fc.json().map((json) => Buffer.from(`[${json}]`)),
      ),
      (body) => {
        try {
          bulkEntriesIn(body, PLACE);
        } catch (error) {
          assert.equal((error as Error).name, "OutriggerError");
        }
      },
    ),
  );
});

test("base64 is read as Go reads it", () => {
  const read = (text: string): string => String(Buffer.from(fromGoBase64(text)));
  assert.deepEqual(["", "aGk=", "aGk\n=\r\n", "aG\nlo", "aA=\n="].map(read), [
    "",
    "hi",
    "hi",
    "hih".slice(0, 2) + "h",
    "h",
  ]);
  const fault = (text: string): string => {
    try {
      return read(text);
    } catch (error) {
      return (error as Error).message.replace("illegal base64 data at input byte ", "");
    }
  };
  assert.deepEqual(["a", "aGk", "a===", "=", "aA=x", "aA=", "aA==x", "é==="].map(fault), [
    "0",
    "0",
    "1",
    "0",
    "2",
    "3",
    "4",
    "0",
  ]);
});
