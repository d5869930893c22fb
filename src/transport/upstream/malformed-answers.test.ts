import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "../../core/clock.ts";
import type { LogFields, Logger } from "../../core/logger.ts";
import { MalformedAnswers } from "./malformed-answers.ts";

class SetClock implements Clock {
  ms = 0;
  now(): number {
    return this.ms;
  }
  monotonic(): number {
    return this.ms;
  }
  async sleep(): Promise<void> {
    await Promise.reject(new Error("nobody sleeps here"));
  }
}

function startNoting(): { answers: MalformedAnswers; clock: SetClock; warnings: (LogFields | undefined)[] } {
  const clock = new SetClock();
  const warnings: (LogFields | undefined)[] = [];
  const ignore = (): void => undefined;
  const log: Logger = { debug: ignore, info: ignore, error: ignore, warn: (_, fields) => warnings.push(fields) };
  return { answers: new MalformedAnswers("http://127.0.0.1:1", clock, log), clock, warnings };
}

test("a malformed answer is counted and warned of, with its origin and what was wrong", () => {
  const { answers, warnings } = startNoting();
  answers.note("the status line is malformed");
  assert.equal(answers.count, 1);
  assert.deepEqual(warnings, [
    { origin: "http://127.0.0.1:1", reason: "the status line is malformed", malformedAnswers: 1 },
  ]);
});

test("a flood of malformed answers is counted whole and warned of once a second", () => {
  const { answers, clock, warnings } = startNoting();
  for (let ms = 0; ms < 3000; ms++) {
    clock.ms = ms;
    answers.note("again");
  }
  assert.equal(answers.count, 3000);
  assert.deepEqual(
    warnings.map((fields) => fields?.["malformedAnswers"]),
    [1, 1001, 2001],
  );
});
