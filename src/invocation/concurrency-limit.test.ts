import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CallAbort, type CallSignal } from "../core/call-signal.ts";
import { CallError } from "../core/errors.ts";
import { ConcurrencyLimit } from "./concurrency-limit.ts";

const patient = new AbortController().signal;
const ROOMY = 1000;

/** Resolves once the slot is taken. */
async function take(limit: ConcurrencyLimit, signal: CallSignal = patient): Promise<void> {
  await limit.acquire(signal);
}

test("calls beyond the limit wait, and get their turn in the order they came", async () => {
  const limit = new ConcurrencyLimit(2, ROOMY);
  const log: string[] = [];
  const enter = async (name: string): Promise<void> => {
    await take(limit);
    log.push(name);
  };
  await Promise.all([enter("a"), enter("b")]);
  const [c, d] = [enter("c"), enter("d")];
  await microtasks();
  assert.deepEqual(log, ["a", "b"]);
  limit.release();
  await c;
  assert.deepEqual(log, ["a", "b", "c"]);
  limit.release();
  limit.release();
  await d;
  limit.release();
  assert.equal(await freeSlots(limit), 2);
});

test("a slot that is free is taken at once: there is nothing to wait for", () => {
  const limit = new ConcurrencyLimit(1, ROOMY);
  assert.equal(limit.acquire(patient), undefined);
});

test("a slot that is given back passes to who waits: nobody slips in between", async () => {
  const limit = new ConcurrencyLimit(1, ROOMY);
  await take(limit);
  const log: string[] = [];
  const waiting = take(limit).then(() => log.push("waiting"));
  limit.release();
  // In the same turn, when whoever waits has not been told yet.
  const late = take(limit).then(() => log.push("late"));
  await microtasks();
  assert.deepEqual(log, ["waiting"]);
  assert.equal(await freeSlots(limit), 0);
  await waiting;
  limit.release();
  await late;
  limit.release();
  assert.deepEqual(log, ["waiting", "late"]);
  assert.equal(await freeSlots(limit), 1);
});

for (const max of [0, -1]) {
  test(`a limit of ${max} is none`, () => {
    const limit = new ConcurrencyLimit(max, 1);
    for (let i = 0; i < 1000; i++) assert.equal(limit.acquire(patient), undefined);
    for (let i = 0; i < 1000; i++) limit.release();
    assert.equal(limit.acquire(patient), undefined);
  });
}

test("a caller that goes away leaves the queue, and those behind it move up", async () => {
  const limit = new ConcurrencyLimit(1, ROOMY);
  await take(limit);
  const leaver = new AbortController();
  const leaving = take(limit, leaver.signal);
  const staying = take(limit);
  leaver.abort(new Error("gone"));
  await assert.rejects(leaving, new Error("gone"));
  limit.release();
  await staying;
  limit.release();
  assert.equal(await freeSlots(limit), 1);
});

test("a caller that has gone before it would have to wait is turned away", async () => {
  const limit = new ConcurrencyLimit(1, ROOMY);
  await take(limit);
  await assert.rejects(take(limit, AbortSignal.abort(new Error("gone"))), new Error("gone"));
  limit.release();
  assert.equal(await freeSlots(limit), 1);
});

test("a caller that goes away after its turn keeps its slot until it gives it back, and those behind it their place", async () => {
  const limit = new ConcurrencyLimit(1, ROOMY);
  const caller = new AbortController();
  await take(limit);
  const second = take(limit, caller.signal);
  let thirdIn = false;
  const third = take(limit).then(() => {
    thirdIn = true;
  });
  limit.release();
  await second;
  caller.abort();
  await microtasks();
  assert.equal(thirdIn, false);
  assert.equal(await freeSlots(limit), 0);
  limit.release();
  await third;
  limit.release();
  assert.equal(await freeSlots(limit), 1);
});

test("when as many wait as may, the next is refused at once, and told which flags say so", async () => {
  const limit = new ConcurrencyLimit(2, 3);
  await Promise.all([take(limit), take(limit)]);
  const waiting = [take(limit), take(limit), take(limit)];
  const text =
    "the app has as many calls as --app-max-concurrency allows (2), and as many wait as --app-max-queue allows (3); call again later";
  await assert.rejects(take(limit), new CallError("ResourceExhausted", text, { nothingSent: true }));
  limit.release();
  await waiting[0];
  // There is one place in the queue now, and one only.
  waiting.push(take(limit));
  await assert.rejects(take(limit), { code: "ResourceExhausted" });
  for (const turn of waiting) {
    limit.release();
    await turn;
  }
  limit.release();
  assert.equal(await freeSlots(limit), 2);
});

test("a caller that leaves the queue leaves its place in it to another", async () => {
  const limit = new ConcurrencyLimit(1, 1);
  const leaver = new AbortController();
  await take(limit);
  const leaving = take(limit, leaver.signal);
  leaver.abort(new Error("gone"));
  await assert.rejects(leaving, new Error("gone"));
  const next = take(limit);
  limit.release();
  await next;
});

test("all who wait can be turned away; those who have a slot keep it, and those who come later wait again", async () => {
  const limit = new ConcurrencyLimit(1, 2);
  await take(limit);
  const turnedAway = [take(limit), take(limit)];
  limit.turnAway(new Error("not today"));
  for (const turn of turnedAway) await assert.rejects(turn, new Error("not today"));
  assert.equal(await freeSlots(limit), 0);
  const later = take(limit);
  limit.release();
  await later;
  limit.release();
  assert.equal(await freeSlots(limit), 1);
});

/** What may happen to a limit; numbers choose among those it can happen to. */
type Step =
  | { readonly kind: "come" }
  | { readonly kind: "end"; readonly which: number }
  | { readonly kind: "leave"; readonly which: number }
  | { readonly kind: "turnAway" };

const which = fc.nat(1000);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Step>({ kind: "come" }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("end" as const), which }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("leave" as const), which }) },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: "turnAway" }) },
);

interface Comer {
  readonly id: number;
  readonly abort: CallAbort;
}

/** The same limit as plainly as it can be said: two lists. Outcomes are compared with what the real one does. */
class Model {
  readonly inside: Comer[] = [];
  readonly waiting: Comer[] = [];
  readonly outcomes: string[] = [];
  readonly #max: number;
  readonly #maxWaiting: number;

  constructor(max: number, maxWaiting: number) {
    this.#max = max;
    this.#maxWaiting = maxWaiting;
  }

  come(comer: Comer): void {
    if (this.inside.length < this.#max) this.#admit(comer);
    else if (this.waiting.length < this.#maxWaiting) this.waiting.push(comer);
    else this.outcomes.push(`${comer.id} refused`);
  }

  end(place: number): void {
    this.inside.splice(place, 1);
    const next = this.waiting.shift();
    if (next !== undefined) this.#admit(next);
  }

  leave(place: number): void {
    for (const { id } of this.waiting.splice(place, 1)) this.outcomes.push(`${id} gone`);
  }

  turnAway(): void {
    for (const { id } of this.waiting.splice(0)) this.outcomes.push(`${id} turned away`);
  }

  #admit(comer: Comer): void {
    this.inside.push(comer);
    this.outcomes.push(`${comer.id} in`);
  }
}

/** Makes `limit` and `model` do the same. `note` is told what became of a call that came. */
function perform(doing: Step, limit: ConcurrencyLimit, model: Model, comer: Comer, note: (text: string) => void): void {
  switch (doing.kind) {
    case "come":
      take(limit, comer.abort).then(
        () => {
          note(`${comer.id} in`);
        },
        (error: unknown) => {
          note(`${comer.id} ${error instanceof CallError ? "refused" : (error as Error).message}`);
        },
      );
      model.come(comer);
      break;
    case "end":
      if (model.inside.length === 0) return;
      limit.release();
      model.end(doing.which % model.inside.length);
      break;
    case "leave": {
      const place = doing.which % Math.max(1, model.waiting.length);
      model.waiting[place]?.abort.abort(new Error("gone"));
      model.leave(place);
      break;
    }
    case "turnAway":
      limit.turnAway(new Error("turned away"));
      model.turnAway();
  }
}

test("property: never more inside than the limit says, none lost, all in the order they came, whoever leaves", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 6 }),
      fc.array(step),
      async (...given) => {
        const [max, maxWaiting, steps] = given;
        const limit = new ConcurrencyLimit(max, maxWaiting);
        const model = new Model(max, maxWaiting);
        const outcomes: string[] = [];
        for (const [id, doing] of steps.entries()) {
          perform(doing, limit, model, { id, abort: new CallAbort() }, (text) => outcomes.push(text));
          // Every other step finds the one before it not told yet.
          if (id % 2 === 0) await microtasks();
          assert.ok(model.inside.length <= max);
        }
        await microtasks();
        assert.deepEqual(sorted(outcomes), sorted(model.outcomes));
        assert.deepEqual(outcomes.filter(isAdmission), model.outcomes.filter(isAdmission));
        // Whatever is left comes out in the end.
        while (model.inside.length > 0) perform({ kind: "end", which: 0 }, limit, model, nobody, () => undefined);
        await microtasks();
        assert.deepEqual(sorted(outcomes), sorted(model.outcomes));
        assert.equal(await freeSlots(limit), max);
      },
    ),
  );
});

const nobody: Comer = { id: -1, abort: new CallAbort() };

function isAdmission(outcome: string): boolean {
  return outcome.endsWith(" in");
}

function sorted(outcomes: readonly string[]): string[] {
  return [...outcomes].sort();
}

/** How many calls would be admitted at once: they are, until one would have to wait, and leave again. */
async function freeSlots(limit: ConcurrencyLimit): Promise<number> {
  const wouldNotWait = AbortSignal.abort();
  let taken = 0;
  try {
    for (; taken < 100; taken++) await take(limit, wouldNotWait);
  } catch (error) {
    assert.equal(error, wouldNotWait.reason);
  }
  for (let i = 0; i < taken; i++) limit.release();
  return taken;
}

/** Everything that does not wait for something outside has happened. */
async function microtasks(): Promise<void> {
  await new Promise(setImmediate);
}
