import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "dns-packet";
import { decoded } from "./multicast-sockets.ts";

test("a packet of more than 9000 bytes is not read, nor what is none", () => {
  const ofBytes = (length: number): Buffer => {
    const record = (data: Buffer) => ({ name: "a", type: "NULL", data }) as const;
    const empty = encode({ type: "response", answers: [record(Buffer.alloc(0))] });
    return encode({ type: "response", answers: [record(Buffer.alloc(length - empty.length))] });
  };
  assert.equal(ofBytes(9000).length, 9000);
  assert.equal(decoded(ofBytes(9000))?.answers?.length, 1);
  assert.equal(decoded(ofBytes(9001)), undefined);
  assert.equal(decoded(Buffer.from("GET / HTTP/1.1")), undefined);
});
