import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../../../test/support/manual-clock.ts";
import { Sessions } from "./sessions.ts";

test("there are never more sessions than may be: those that have ended go first, then those not used for longest", () => {
  const clock = new ManualClock();
  const sessions = new Sessions(clock, 3);
  const [long, short, other] = [10_000, 1_000, 10_000].map((life, i) => sessions.begin(`token ${i}`, life).id);
  clock.advance(1_000);
  const fourth = sessions.begin("token 3", 10_000).id;
  assert.deepEqual(
    [long, short, other, fourth].map((id) => sessions.credentials(id)),
    ["token 0", undefined, "token 2", "token 3"],
  );
  sessions.credentials(long);
  sessions.begin("token 4", 10_000);
  assert.deepEqual(
    [long, other, fourth].map((id) => sessions.credentials(id)),
    ["token 0", undefined, "token 3"],
  );
});

test("a session lives as long as its token, an hour where nobody says how long that is, and a day at most", () => {
  const sessions = new Sessions(new ManualClock(), 3);
  assert.deepEqual(
    [sessions.begin("a", 60_000), sessions.begin("a"), sessions.begin("a", 1e12)].map(({ lifeMs }) => lifeMs),
    [60_000, 3_600_000, 86_400_000],
  );
});
