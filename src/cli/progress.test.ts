import assert from "node:assert/strict";
import { test } from "node:test";
import { CapturedTerminal } from "../../test/support/captured-terminal.ts";
import { ManualClock } from "../../test/support/manual-clock.ts";
import { Progress } from "./progress.ts";

test("the first two seconds are silent, then one line is written again and again, and is gone at the end", () => {
  const [clock, err] = [new ManualClock(), new CapturedTerminal(80)];
  const progress = new Progress(err.terminal, clock);
  progress.show("1 of 9");
  clock.advance(1999);
  progress.show("2 of 9");
  assert.equal(err.text, "");
  clock.advance(1);
  progress.show("3 of 9");
  progress.show("4 of 9");
  clock.advance(200);
  progress.show("5 of 9");
  progress.clear();
  progress.clear();
  const line = (text: string): string => `\r\x1b[K\x1b[90m${text}\x1b[0m`;
  assert.equal(err.text, `${line("3 of 9")}${line("5 of 9")}\r\x1b[K`);
});

test("a pipe gets none of it", () => {
  const [clock, err] = [new ManualClock(), new CapturedTerminal()];
  const progress = new Progress(err.terminal, clock);
  clock.advance(10_000);
  progress.show("1 of 9");
  progress.clear();
  assert.equal(err.text, "");
});
