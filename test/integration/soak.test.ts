import assert from "node:assert/strict";
import { after, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { buildApps, type RunningCallee, startCallee } from "../support/apps.ts";
import { Inspector } from "../support/inspector.ts";
import { Load } from "../support/load.ts";
import { LONG } from "../support/long.ts";
import { kill, ownHome, startBeside } from "../support/processes.ts";
import { StreamLoad } from "../support/stream-load.ts";
import { waitFor } from "../support/wait.ts";

const SECONDS = LONG ? 600 : 20;
const CALLERS = 60;
const LANES = 6;
const MiB = 2 ** 20;
// Between two kills: enough for calls of all kinds to be under way again.
const CALM_MS = 1500;

const apps = await buildApps({ after });

test(`${SECONDS} s at full load, with kills of app and sidecar: no wrong byte, no hang, no leak`, async (t) => {
  const home = ownHome(t);
  const start = (): Promise<RunningCallee> => startCallee(t, { home, appId: "callee", command: apps.serve("go") });
  const instances = [await start(), await start()];
  const env = { NODE_OPTIONS: "--inspect=127.0.0.1:0" };
  const caller = await startBeside(t, "caller", undefined, { home, env, flags: ["--story=false"] });
  const inspector = await Inspector.open(caller.outrigger.stderr);
  t.after(() => {
    inspector.close();
  });

  // What it holds once it has seen every kind of call.
  await underLoad(t, caller.api, instances, () => sleep(4000));
  const before = await atRest(inspector);
  const kills = { app: 0, sidecar: 0 };
  const counts = await underLoad(t, caller.api, instances, async () => {
    const end = Date.now() + SECONDS * 1000;
    for (let round = 0; Date.now() < end; round++) {
      const victim = instances[round % 2];
      assert.ok(victim !== undefined);
      const what = round % 4 < 2 ? "app" : "sidecar";
      kills[what]++;
      kill(what === "app" ? victim.appPid : victim.outrigger.pid, "SIGKILL");
      await victim.outrigger.exited();
      await sleep(CALM_MS);
      instances[round % 2] = await start();
      await sleep(CALM_MS);
    }
  });
  const afterwards = await atRest(inspector);
  t.diagnostic(`${JSON.stringify(counts)}; killed: ${JSON.stringify(kills)}`);
  t.diagnostic(`heap in use ${mib(before.heap)} before, ${mib(afterwards.heap)} after`);
  t.diagnostic(`handles ${JSON.stringify(before.handles)} before, ${JSON.stringify(afterwards.handles)} after`);
  assert.ok(kills.app > 0 && kills.sidecar > 0);
  assert.ok(
    afterwards.heap < before.heap + 4 * MiB,
    `the heap grew from ${mib(before.heap)} to ${mib(afterwards.heap)}`,
  );
});

/** Calls and transfers while `work` runs: everything that came back whole was right. */
async function underLoad(
  t: TestContext,
  api: string,
  instances: readonly RunningCallee[],
  work: () => Promise<unknown>,
): Promise<object> {
  const direct = instances[0]?.direct ?? "";
  const load = new Load(t, { api, target: "callee", callers: CALLERS });
  const streams = new StreamLoad(t, { api, target: "callee", direct }, LANES);
  await work();
  await load.everyCaller("right", 1);
  await Promise.all([load.stop(), streams.stop()]);
  assert.equal(load.count("wrong"), 0, load.messages("wrong"));
  assert.deepEqual(streams.wrong, []);
  assert.deepEqual(streams.hangs, []);
  const { right, refused, broken } = {
    right: load.count("right"),
    refused: load.count("refused"),
    broken: load.count("broken"),
  };
  return { calls: { right, refused, broken }, transfers: streams.counts };
}

interface Held {
  readonly heap: number;
  readonly handles: Readonly<Record<string, number>>;
}

/** What is held once idle connections have been let go: to the callees by the sidecar, to the sidecar by the callers. */
async function atRest(inspector: Inspector): Promise<Held> {
  let handles: Readonly<Record<string, number>> = {};
  await waitFor("every connection to be closed", async () => {
    handles = await inspector.handles();
    // The inspector's own is not among them.
    return (handles["TCPSocketWrap"] ?? 0) === 0;
  });
  return { heap: await inspector.heapInUse(), handles };
}

function mib(bytes: number): string {
  return `${(bytes / MiB).toFixed(1)} MiB`;
}
