import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../test/support/manual-clock.ts";
import type { IncomingEvent, Verdict } from "../components/contract/pubsub.ts";
import { HandOut, type HandOutRules } from "./hand-out.ts";

interface Bench {
  readonly clock: ManualClock;
  readonly handOut: HandOut;
  /** Texts with their attempts, in the order in which they were handed out. */
  readonly seen: string[];
  readonly done: string[];
  readonly offer: (...texts: readonly string[]) => void;
}

function bench(answer: (text: string, attempt: number) => Verdict, rules: Partial<HandOutRules> = {}): Bench {
  const clock = new ManualClock();
  const [seen, done]: [string[], string[]] = [[], []];
  const handOut = new HandOut({
    clock,
    batch: undefined,
    keyOf: ({ id }) => (id.startsWith("-") ? undefined : id[0]),
    handle: (events) => {
      for (const { id, attempt } of events) seen.push(`${id} ${attempt}`);
      return Promise.resolve(events.map(({ id, attempt }) => answer(id, attempt ?? 0)));
    },
    mayBegin: (underWay) => underWay < 4,
    pauseMs: (failures) => failures * 1000,
    onDone: ({ id }) => done.push(id),
    mayKeep: () => true,
    ...rules,
  });
  const offer = (...texts: readonly string[]): void => {
    for (const text of texts) handOut.offer(anEvent(text));
  };
  return { clock, handOut, seen, done, offer };
}

function anEvent(id: string): IncomingEvent {
  return { id, topic: "t", data: new Uint8Array(), contentType: undefined, metadata: new Map(), attempt: 1 };
}

/** Lets everything happen that needs no time. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

test("an event that fails keeps its place among those of its key, and the others pass", async () => {
  const { clock, seen, done, offer } = bench((text, attempt) => (text === "a1" && attempt < 3 ? "again" : "done"));
  offer("a1", "a2", "b1", "-1", "a3", "b2");
  await settled();
  assert.deepEqual([...done].sort(), ["-1", "b1", "b2"]);
  clock.advance(1000);
  await settled();
  assert.equal(done.includes("a1"), false, "its second pause is longer");
  clock.advance(2000);
  await settled();
  assert.deepEqual(
    seen.filter((text) => text.startsWith("a")),
    ["a1 1", "a1 2", "a1 3", "a2 1", "a3 1"],
  );
  assert.equal(done.length, 6);
});

test("what fails without a key may be let go, and one with a key is kept", async () => {
  const { handOut, offer } = bench(() => "again", { mayKeep: (_, waiting) => waiting < 2 });
  offer("-1", "-2", "-3", "-4", "a1", "b1");
  await settled();
  assert.deepEqual(
    handOut.events().map(({ id }) => id),
    ["-1", "-2", "a1", "b1"],
  );
});

test("a batch waits for others until it is full or its time is over, and no longer", async () => {
  const sizes: number[] = [];
  const { clock, offer } = bench(() => "done", {
    batch: { maxEvents: 3, maxWaitMs: 100 },
    keyOf: undefined,
    handle: (events) => {
      sizes.push(events.length);
      return Promise.resolve(events.map(() => "done"));
    },
  });
  offer("1", "2");
  await settled();
  assert.deepEqual(sizes, []);
  offer("3", "4");
  await settled();
  assert.deepEqual(sizes, [3]);
  clock.advance(100);
  await settled();
  assert.deepEqual(sizes, [3, 1]);
  assert.equal(clock.sleeping, 0);
});

test("a handler that rejects is one that failed", async () => {
  const { handOut, offer } = bench(() => "done", { handle: () => Promise.reject(new Error("broke")) });
  offer("-1");
  await settled();
  assert.equal(handOut.size, 1);
});

test("what is undone at the end says whether the handler had it", async () => {
  const { clock, handOut, offer } = bench(() => "done", {
    mayBegin: (underWay) => underWay < 1,
    handle: () => new Promise(() => undefined),
  });
  offer("-1", "-2");
  const closed = handOut.close(500);
  await settled();
  clock.advance(500);
  await closed;
  assert.deepEqual(
    handOut.takeUndone().map(({ event, wasHandedOut }) => [event.id, wasHandedOut]),
    [
      ["-1", true],
      ["-2", false],
    ],
  );
  await handOut.close(0);
  assert.equal(clock.sleeping, 0);
});
