import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type BodyDecoder, ChunkedDecoder, LengthDecoder, UntilCloseDecoder } from "./body-decoder.ts";
import { MalformedMessage } from "./message-head.ts";

interface Decoded {
  readonly body: string;
  /** What stands behind the body. */
  readonly rest: string;
  readonly done: boolean;
}

/** Decodes `text` as it arrives, cut at these places. */
function decode(decoder: BodyDecoder, text: string, cuts: readonly number[] = []): Decoded {
  const bytes = Buffer.from(text, "latin1");
  const places = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
  let body = "";
  let read = 0;
  const sink = {
    addPiece: (piece: Buffer) => {
      body += piece.toString("latin1");
    },
  };
  for (const [i, from] of places.entries()) {
    const piece = bytes.subarray(from, places[i + 1] ?? bytes.length);
    if (!decoder.done) read += decoder.decode(piece, 0, sink);
  }
  return { body, rest: text.slice(read), done: decoder.done };
}

function chunk(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`;
}

const latin1 = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
  maxLength: 60,
});
const cuts = fc.array(fc.nat({ max: 1000 }), { maxLength: 12 });

test("a body of known length ends there, however it arrives, and what follows is not touched", () => {
  fc.assert(
    fc.property(latin1, latin1, cuts, (body, behind, at) => {
      assert.deepEqual(decode(new LengthDecoder(body.length), body + behind, at), { body, rest: behind, done: true });
    }),
  );
});

test("chunks are joined, however they arrive, and what follows the last is not touched", () => {
  const pieces = fc.array(
    latin1.filter((piece) => piece !== ""),
    { maxLength: 6 },
  );
  fc.assert(
    fc.property(pieces, latin1, cuts, (parts, behind, at) => {
      const text = `${parts.map(chunk).join("")}0\r\n\r\n${behind}`;
      assert.deepEqual(decode(new ChunkedDecoder(), text, at), { body: parts.join(""), rest: behind, done: true });
    }),
    { numRuns: 1000 },
  );
});

const ALL_AT_ONCE = '00A;a=b;c="d;\\" e"\r\n0123456789\r\n1\r\n\n\r\n000;x\r\nX: y\r\nZ:\r\n\r\nnext';

test("chunks with all that may stand around them are read the same whatever byte they are cut at", () => {
  const wanted = { body: "0123456789\n", rest: "next", done: true };
  assert.deepEqual(decode(new ChunkedDecoder(), ALL_AT_ONCE), wanted);
  const everyByte = Array.from(ALL_AT_ONCE, (_, at) => at);
  assert.deepEqual(decode(new ChunkedDecoder(), ALL_AT_ONCE, everyByte), wanted);
  for (const at of everyByte) assert.deepEqual(decode(new ChunkedDecoder(), ALL_AT_ONCE, [at]), wanted, `cut at ${at}`);
});

test("chunks that stop early are not done", () => {
  const end = ALL_AT_ONCE.length - "next".length;
  for (let at = 0; at < end; at++) {
    assert.equal(decode(new ChunkedDecoder(), ALL_AT_ONCE.slice(0, at)).done, false, `stopped at ${at}`);
  }
});

const BAD_CHUNKS = [
  ...[
    "x\r\n",
    "\r\n",
    ";a\r\n",
    "-1\r\n",
    "+1\r\n",
    "0x1\r\na\r\n",
    "1 \r\na\r\n",
    " 1\r\na\r\n",
    "1_0\r\n",
    "1\na\r\n",
  ],
  ...[
    "1\ra\r\n",
    "1\r\nab",
    "1\r\na\n",
    "1\r\na\r\r",
    "1;\r\na\r\n",
    "1;a=\r\n",
    "1;a b\r\n",
    '1;a="b\r\n',
    "1;a\nb\r\n",
  ],
  ...[
    "1;a\rb\r\n",
    "0\r\nX : y\r\n\r\n",
    "0\r\nX: y\n\r\n",
    "0\r\n\n\r\n\r\n",
    "0\r\n folded\r\n\r\n",
    `${"0".repeat(12)}\r\n`,
  ],
  ...[
    `1;${"a".repeat(20_000)}\r\n`,
    `0\r\nX: ${"a".repeat(20_000)}\r\n\r\n`,
    "FFFFFFFFFFFF\r\n",
    "0\r\nHost: x\r\n\r\n",
  ],
];

test("chunks that break the rules are refused whatever byte they are cut at", () => {
  for (const text of BAD_CHUNKS) {
    const places = text.length > 100 ? [1, 5, 1000] : Array.from(text, (_, at) => at);
    for (const at of places) {
      assert.throws(
        () => decode(new ChunkedDecoder(), text, [at]),
        MalformedMessage,
        `${JSON.stringify(text.slice(0, 40))} cut at ${at}`,
      );
    }
  }
});

test("a body that ends with its connection is never done", () => {
  assert.deepEqual(decode(new UntilCloseDecoder(), "abc", [1]), { body: "abc", rest: "", done: false });
});
