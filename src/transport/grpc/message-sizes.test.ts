import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { frameOf } from "./message-frames.ts";
import { MessageSizes } from "./message-sizes.ts";

test("messages are counted wherever they are cut", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), fc.array(fc.nat(300)), (messages, cuts) => {
      const sizes = new MessageSizes(40);
      const all = Buffer.concat(messages.map(frameOf));
      let at = 0;
      for (const cut of [...cuts.filter((place) => place < all.length).sort((a, b) => a - b), all.length]) {
        sizes.add(all.subarray(at, cut));
        at = cut;
      }
      assert.equal(sizes.begun, messages.length);
    }),
  );
});

test("a message over the limit is refused by what it announces, in grpc-go's words", () => {
  const sizes = new MessageSizes(10);
  sizes.add(frameOf(Buffer.alloc(10)));
  const head = frameOf(Buffer.alloc(11)).subarray(0, 5);
  sizes.add(head.subarray(0, 3));
  assert.throws(
    () => {
      sizes.add(head.subarray(3));
    },
    { code: "ResourceExhausted", message: "grpc: received message larger than max (11 vs. 10)" },
  );
});
