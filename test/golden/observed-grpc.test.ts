import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { type GrpcExchange, grpcExchange, grpcRecordedExchange } from "./grpc-exchange.ts";
import { grpcCases as cases, type GrpcRecordedCase } from "./grpc-recorded-cases.ts";
import { type GrpcTopology, startGrpcTopology } from "./grpc-topology.ts";
import { GRPC_WANTED_DIFFERENCES, type GrpcWantedDifference } from "./grpc-wanted-differences.ts";

/** A real daprd 1.18.1 was recorded over gRPC; Outrigger, asked the same, does the same, but for the wanted differences. */

let topology: GrpcTopology;
const ends: (() => unknown)[] = [];

before(async () => {
  topology = await startGrpcTopology({ after: (end) => ends.unshift(end) });
});

after(async () => {
  for (const end of ends) await end();
});

for (const recorded of cases) {
  test(promiseOf(recorded), async () => {
    assert.deepEqual(await grpcExchange(topology, recorded), wantedExchange(recorded));
  });
}

// A rewrite that changes an expectation which then holds is needed: without it, the case's own test fails.
for (const difference of GRPC_WANTED_DIFFERENCES) {
  test(`a wanted difference that is needed: ${difference.what}`, () => {
    const changed = cases.filter((recorded) => changes(difference, recorded)).map(({ id }) => id);
    if (difference.cases === undefined) assert.notEqual(changed.length, 0);
    else assert.deepEqual(changed, difference.cases);
  });
}

function promiseOf({ id }: GrpcRecordedCase): string {
  const own = GRPC_WANTED_DIFFERENCES.filter((difference) => difference.cases?.includes(id) === true);
  return own.length === 0 ? `as daprd: ${id}` : `unlike daprd: ${id}: ${own.map(({ what }) => what).join("; ")}`;
}

function wantedExchange(recorded: GrpcRecordedCase): GrpcExchange {
  return GRPC_WANTED_DIFFERENCES.reduce(
    (exchange, difference) => apply(difference, exchange, recorded),
    grpcRecordedExchange(recorded),
  );
}

function apply(difference: GrpcWantedDifference, exchange: GrpcExchange, recorded: GrpcRecordedCase): GrpcExchange {
  const isMeant = difference.cases?.includes(recorded.id) ?? true;
  return isMeant ? difference.rewrite(exchange, recorded) : exchange;
}

/** Whether the rewrite changes what the entries before it made of the case. */
function changes(difference: GrpcWantedDifference, recorded: GrpcRecordedCase): boolean {
  const earlier = GRPC_WANTED_DIFFERENCES.slice(0, GRPC_WANTED_DIFFERENCES.indexOf(difference));
  const reached = earlier.reduce((exchange, other) => apply(other, exchange, recorded), grpcRecordedExchange(recorded));
  return !isDeepStrictEqual(apply(difference, reached, recorded), reached);
}
