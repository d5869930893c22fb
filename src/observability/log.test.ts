import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogFields } from "../core/logger.ts";
import { createLogger } from "./log.ts";

/** What is written of one message, behind its time. */
function written(message: string, fields: LogFields): string {
  const lines: string[] = [];
  const write = (line: string): void => void lines.push(line);
  createLogger({ level: "info", json: false, colour: false, dated: false, version: "1", write }).info(message, fields);
  return lines.join("").slice("00:00:00.000 ".length);
}

test("a line for people has its fields behind it, in quotes where they need some", () => {
  const fields = { path: "/x", agent: 'a "b"', code: 200 };
  assert.equal(written("called", fields), 'info  called path=/x agent="a \\"b\\"" code=200\n');
});

test("no control character from outside reaches a terminal", () => {
  const fields = { colour: "\u001b[31m", csi: "\u009b31m two words", line: "one\ntwo", turned: "\u202eabc" };
  const text = written("of \u001b[2J app\nsecond line", fields);
  assert.doesNotMatch(text.replaceAll("\n", ""), /\p{C}/u);
  assert.match(text, /^info {2}of \\x1b\[2J app\nsecond line colour=\\x1b\[31m /);
  assert.match(text, /line="one\\ntwo"/);
});
