import assert from "node:assert/strict";
import { test } from "node:test";
import { table } from "./terminal.ts";

const ROWS = [
  ["ID", "COMMAND"],
  ["longer", "node server.mjs --port 80"],
];

test("columns are as wide as their widest cell, the last as it is", () => {
  assert.equal(table(ROWS), "ID      COMMAND\nlonger  node server.mjs --port 80\n");
});

test("a row that is longer than the line is cut at its end", () => {
  assert.equal(table(ROWS, { columns: 24 }), "ID      COMMAND\nlonger  node server.mjs…\n");
  // 8 before the last column, and 25 of that: it just fits.
  assert.equal(table(ROWS, { columns: 33 }), table(ROWS));
});

test("of the last column something is left however narrow the terminal is", () => {
  assert.equal(table(ROWS, { columns: 4 }), "ID      COMMAND\nlonger  node server…\n");
});

test("cells are painted at their width, so that colours move nothing", () => {
  const paint = (cell: string, row: number, column: number): string => `<${row}${column}${cell}>`;
  assert.equal(table(ROWS, { paint }), "<00ID    >  <01COMMAND>\n<10longer>  <11node server.mjs --port 80>\n");
});
