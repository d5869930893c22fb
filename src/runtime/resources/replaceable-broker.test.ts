import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { RememberingBroker } from "../../../test/support/remembering-broker.ts";
import type { Logger } from "../../core/logger.ts";
import { ReplaceableBroker } from "./replaceable-broker.ts";

const EVENT = { topic: "t", data: Buffer.from("1"), contentType: undefined, metadata: new Map<string, string>() };

function replaceable(close: () => Promise<void>) {
  const inner = new RememberingBroker();
  inner.close = close;
  const told: string[] = [];
  const silent = (): void => undefined;
  const log: Logger = { debug: silent, info: silent, warn: (line) => void told.push(line), error: silent };
  const clock = new ManualClock();
  return {
    inner,
    told,
    clock,
    broker: new ReplaceableBroker({ broker: inner, description: "Component p", clock, log }),
  };
}

test("it is closed once what is being published to it is published", async () => {
  let closed = 0;
  const { inner, broker, clock } = replaceable(() => {
    closed++;
    return Promise.resolve();
  });
  let finish = (): void => undefined;
  inner.before = () =>
    new Promise<void>((resolve) => {
      finish = resolve;
    });
  const published = broker.publish(EVENT);
  const ended = broker.closeWhenIdle();
  await turn();
  assert.equal(closed, 0);
  finish();
  await published;
  await ended;
  assert.deepEqual([closed, inner.taken.length, clock.sleeping], [1, 1, 0]);
});

test("one that never takes what is published to it, and never closes, is given up and told", async () => {
  const { inner, broker, clock, told } = replaceable(() => new Promise(() => undefined));
  inner.before = () => new Promise(() => undefined);
  void broker.publish(EVENT);
  const ended = broker.closeWhenIdle();
  await turn();
  clock.advance(5000);
  await turn();
  clock.advance(5000);
  await ended;
  assert.deepEqual(told, ["Component p: it has not closed in 5 s, and is waited for no more"]);
});

test("one that fails to close is told, and nobody else fails by it", async () => {
  const { broker, told } = replaceable(() => Promise.reject(new Error("no")));
  await broker.closeWhenIdle();
  assert.deepEqual(told, ["Component p: it did not close in order: no"]);
});
