import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { waitFor } from "../support/wait.ts";
import { type Exchange, exchangeSeen, isOfEvents, legible, recordedExchange, requestOf } from "./exchange.ts";
import { LEFT_OUT } from "./left-out.ts";
import { exchangeRaw } from "./raw-client.ts";
import { cases, type RecordedCase, recordedIds } from "./recorded-cases.ts";
import { startTopology, type Topology } from "./topology.ts";
import { WANTED_DIFFERENCES, type WantedDifference } from "./wanted-differences.ts";

/** A real daprd 1.18.1 was recorded; Outrigger, asked the same, does the same, but for the wanted differences. */

let topology: Topology;
const ends: (() => unknown)[] = [];

before(async () => {
  topology = await startTopology({ after: (end) => ends.unshift(end) });
});

after(async () => {
  for (const end of ends) await end();
});

for (const recorded of cases) {
  test(promiseOf(recorded), async () => {
    const { app, apiPorts } = topology;
    const { to } = recorded.request;
    const answer = await exchangeRaw(apiPorts[to], requestOf(recorded, apiPorts[to], app.port));
    // Events reach the app behind the answer; what comes beyond those that are wanted is seen by the next case.
    const wanted = wantedExchange(recorded);
    if (isOfEvents(recorded.id)) await waitFor("events", () => app.waiting >= wanted.app.length);
    const seen = exchangeSeen(recorded.id, app.takeRequests(), answer, topology);
    assert.deepEqual(legible(seen), legible(wanted));
  });
}

test("every line of the recording is run, or listed with the reason why not", () => {
  const run = cases.map(({ id }) => id);
  assert.deepEqual([...run, ...Object.keys(LEFT_OUT)].sort(), [...recordedIds].sort());
});

// A rewrite that changes an expectation which then holds is needed: without it, the case's own test fails.
for (const difference of WANTED_DIFFERENCES) {
  test(`a wanted difference that is needed: ${difference.what}`, () => {
    const changed = cases.filter((recorded) => changes(difference, recorded)).map(({ id }) => id);
    if (difference.cases === undefined) assert.notEqual(changed.length, 0);
    else assert.deepEqual(changed, difference.cases);
  });
}

function promiseOf({ id }: RecordedCase): string {
  const own = WANTED_DIFFERENCES.filter((difference) => difference.cases?.includes(id) === true);
  return own.length === 0 ? `as daprd: ${id}` : `unlike daprd: ${id}: ${own.map(({ what }) => what).join("; ")}`;
}

function wantedExchange(recorded: RecordedCase): Exchange {
  return WANTED_DIFFERENCES.reduce(
    (exchange, difference) => apply(difference, exchange, recorded),
    recordedExchange(recorded),
  );
}

function apply(difference: WantedDifference, exchange: Exchange, recorded: RecordedCase): Exchange {
  const isMeant = difference.cases?.includes(recorded.id) ?? true;
  return isMeant ? difference.rewrite(exchange, recorded) : exchange;
}

/** Whether the rewrite changes what the entries before it made of the case. */
function changes(difference: WantedDifference, recorded: RecordedCase): boolean {
  const earlier = WANTED_DIFFERENCES.slice(0, WANTED_DIFFERENCES.indexOf(difference));
  const reached = earlier.reduce((exchange, other) => apply(other, exchange, recorded), recordedExchange(recorded));
  return !isDeepStrictEqual(apply(difference, reached, recorded), reached);
}
