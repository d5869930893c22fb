import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LineSplitter, MAX_LINE } from "./line-splitter.ts";

/** The lines of these chunks, the last one included. */
function split(...chunks: (string | Buffer)[]): string[] {
  const splitter = new LineSplitter();
  const lines = chunks.flatMap((chunk) => splitter.push(Buffer.from(chunk)));
  return [...lines, ...splitter.end()];
}

const CASES: [what: string, chunks: string[], lines: string[]][] = [
  ["lines in one chunk", ["a\nb\n"], ["a", "b"]],
  ["a last line without its end", ["a\nb"], ["a", "b"]],
  ["a line in several chunks", ["a", "b", "c\nd"], ["abc", "d"]],
  ["empty lines", ["\n\na\n\n"], ["", "", "a", ""]],
  ["line ends of every kind", ["a\r\nb\rc\n"], ["a", "b", "c"]],
  ["a line end that two chunks share", ["a\r", "\nb\r", "c\r", "\n\n"], ["a", "b", "c", ""]],
  ["nothing", [""], []],
];

for (const [what, chunks, lines] of CASES) {
  test(`${what} are the lines that they are`, () => {
    assert.deepEqual(split(...chunks), lines);
  });
}

test("however a text is cut into chunks, its lines are the same, bytes of one character apart or not", () => {
  const text = fc.array(fc.constantFrom("a", "ü", "💧", "\n", "\r\n", "\r", "bcd"), { maxLength: 40 });
  fc.assert(
    fc.property(text, fc.array(fc.nat(60), { maxLength: 10 }), (parts, cuts) => {
      const bytes = Buffer.from(parts.join(""));
      const at = [0, ...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
      const chunks = at.slice(1).map((end, i) => bytes.subarray(at[i], end));
      assert.deepEqual(split(...chunks), split(bytes));
    }),
  );
});

test("a line without an end comes in pieces while it grows, and none of it is lost", () => {
  const splitter = new LineSplitter();
  const chunk = Buffer.from("x".repeat(50_000));
  const pieces: string[] = [];
  for (let i = 0; i < 20; i++) {
    pieces.push(...splitter.push(chunk));
    assert.ok(pieces.join("").length > (i + 1) * 50_000 - 2 * MAX_LINE, "it is kept back");
  }
  pieces.push(...splitter.end());
  assert.ok(pieces.every((piece) => piece.length <= MAX_LINE));
  assert.equal(pieces.join("").length, 20 * 50_000);
});

test("a piece ends with a whole character", () => {
  const pieces = split(`x${"💧".repeat(MAX_LINE)}\nend`);
  assert.equal(pieces.pop(), "end");
  assert.ok(pieces.length > 1);
  assert.ok(pieces.every((piece) => piece.length <= MAX_LINE && !/[\ud800-\udbff]$/.test(piece)));
  assert.equal(pieces.join(""), `x${"💧".repeat(MAX_LINE)}`);
});
