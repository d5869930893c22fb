import assert from "node:assert/strict";
import { PassThrough, Readable } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import { FakeSocket, settled } from "../../../test/support/fake-socket.ts";
import { ChunkedDecoder } from "./body-decoder.ts";
import { headerLine, OutgoingBody, writeWhole, writeWholeChunked } from "./message-writer.ts";
import { SocketWriter } from "./socket-writer.ts";

test("a header line is one line, or is not written", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (name, value) => {
      let line: string;
      try {
        line = headerLine(name, value);
      } catch {
        return;
      }
      // As the socket would write it.
      const written = Buffer.from(line, "latin1").toString("latin1");
      assert.match(written, /^[!-9;-~]+: [\t\x20-\x7e\x80-\xff]*\r\n$/);
      assert.equal(written, `${name}: ${value}\r\n`);
    }),
    { numRuns: 2000 },
  );
});

// U+010D and U+0A0A end in the bytes of CR and LF.
for (const value of ["a\r\nX: b", "a\nb", "a\rb", "a\0b", "a\x7fb", "a\u010d\u010ab", "a\u0a0d\u0a0ab", "a\u2028b"]) {
  test(`the value ${JSON.stringify(value)} is refused, not written`, () => {
    assert.throws(() => headerLine("X", value), { name: "UnwritableHeader" });
  });
}

for (const name of ["", "X Y", "X:", "X\r\nY", "X\0", "Ä", "\u010d"]) {
  test(`the name ${JSON.stringify(name)} is refused, not written, also the second time`, () => {
    for (let times = 0; times < 2; times++) assert.throws(() => headerLine(name, "a"), { name: "UnwritableHeader" });
  });
}

test("a whole message goes out byte for byte, whatever its length", () => {
  for (const bytes of [0, 1, 8 * 1024, 8 * 1024 + 1, 100_000]) {
    const socket = new FakeSocket();
    const body = Buffer.from(Array.from({ length: bytes }, (_, i) => i % 256));
    const writer = new SocketWriter(socket.asSocket());
    writeWhole(writer, "head\r\n\r\n", body);
    writer.flush();
    assert.equal(socket.written, `head\r\n\r\n${body.toString("latin1")}`);
  }
});

test("so does one in chunks", () => {
  for (const bytes of [0, 1, 255, 8 * 1024, 8 * 1024 + 1, 64 * 1024]) {
    const socket = new FakeSocket();
    const body = Buffer.from(Array.from({ length: bytes }, (_, i) => i % 256));
    const writer = new SocketWriter(socket.asSocket());
    writeWholeChunked(writer, "head\r\n\r\n", body);
    writer.flush();
    const decoder = new ChunkedDecoder();
    const pieces: Buffer[] = [];
    assert.ok(socket.written.startsWith("head\r\n\r\n"));
    const framed = Buffer.from(socket.written, "latin1").subarray("head\r\n\r\n".length);
    assert.equal(decoder.decode(framed, 0, { addPiece: (piece) => pieces.push(piece) }), framed.length);
    assert.ok(decoder.done);
    assert.deepEqual(Buffer.concat(pieces), body);
  }
});

interface Outcome {
  readonly written: string;
  readonly sent: boolean;
  readonly broke: string | undefined;
}

async function carried(body: Readable, length: number | undefined): Promise<Outcome> {
  const socket = new FakeSocket();
  let sent = false;
  let broke: string | undefined;
  const owner = {
    bodySent: () => {
      sent = true;
    },
    bodyBroke: (error: Error) => {
      broke = error.message;
    },
  };
  const outgoing = new OutgoingBody(new SocketWriter(socket.asSocket()), "head\r\n\r\n", body, length, owner);
  socket.on("drain", () => {
    outgoing.drained();
  });
  outgoing.start();
  await settled();
  await settled();
  return { written: socket.written, sent, broke };
}

test("a stream of known length goes out as it is", async () => {
  const outcome = await carried(Readable.from([Buffer.from("ab"), Buffer.from("c")]), 3);
  assert.deepEqual(outcome, { written: "head\r\n\r\nabc", sent: true, broke: undefined });
});

test("a stream of unknown length goes out in chunks that say the same", async () => {
  const pieces = fc.array(fc.uint8Array({ minLength: 1, maxLength: 20_000 }), { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(pieces, async (parts) => {
      const { written, sent } = await carried(Readable.from(parts.map((part) => Buffer.from(part))), undefined);
      assert.ok(sent && written.startsWith("head\r\n\r\n"));
      const read: Buffer[] = [];
      const decoder = new ChunkedDecoder();
      decoder.decode(Buffer.from(written.slice("head\r\n\r\n".length), "latin1"), 0, {
        addPiece: (piece) => read.push(piece),
      });
      assert.ok(decoder.done);
      assert.deepEqual(Buffer.concat(read), Buffer.concat(parts));
    }),
    { numRuns: 30 },
  );
});

test("a stream that is longer or shorter than its Content-Length breaks, and never looks complete", async () => {
  const long = await carried(Readable.from([Buffer.from("ab"), Buffer.from("cd")]), 3);
  assert.match(long.broke ?? "", /longer than its Content-Length/);
  assert.ok(!long.written.includes("c"), long.written);
  const short = await carried(Readable.from([Buffer.from("ab")]), 3);
  assert.match(short.broke ?? "", /shorter than its Content-Length/);
  assert.deepEqual([long.sent, short.sent], [false, false]);
});

test("a stream that breaks never gets a last chunk", async () => {
  const body = new PassThrough();
  body.write("ab");
  setImmediate(() => body.destroy(new Error("gone")));
  const { written, sent, broke } = await carried(body, undefined);
  assert.deepEqual([sent, broke], [false, "gone"]);
  assert.equal(written, "head\r\n\r\n2\r\nab\r\n");
});
