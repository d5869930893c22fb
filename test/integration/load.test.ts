import assert from "node:assert/strict";
import { after, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { buildApps, startCallee, startCaller, startHost } from "../support/apps.ts";
import { Load } from "../support/load.ts";
import { LONG } from "../support/long.ts";
import { ownHome } from "../support/processes.ts";

const CALLERS = 200;
const TIMES = LONG ? 10 : 1;

const apps = await buildApps({ after });

test(`200 callers get nothing but right answers for ${30 * TIMES} s, through two processes`, async (t) => {
  const home = ownHome(t);
  await startCallee(t, { home, appId: "callee", command: apps.serve("go") });
  const { api } = await startCaller(t, { home, appId: "caller" });
  await assertOnlyRightAnswers(t, api, 30_000 * TIMES);
});

test(`200 callers get nothing but right answers for ${10 * TIMES} s, behind one process`, async (t) => {
  const host = await startHost(t, ownHome(t), [
    { appId: "callee", command: apps.serve("go"), serves: true },
    { appId: "caller", serves: false },
  ]);
  await host.callee("callee");
  await assertOnlyRightAnswers(t, await host.api("caller"), 10_000 * TIMES);
});

async function assertOnlyRightAnswers(t: TestContext, api: string, ms: number): Promise<void> {
  const load = new Load(t, { api, target: "callee", callers: CALLERS });
  // How long the load lasts, and nothing else: no answer has to be there by then.
  await sleep(ms);
  const right = load.count("right");
  await load.everyCaller("right", 1);
  await load.stop();
  for (const kind of ["wrong", "refused", "broken"] as const) assert.equal(load.count(kind), 0, load.messages(kind));
  t.diagnostic(`${((right * 1000) / ms).toFixed(0)} calls/s, ${right} in all`);
}
