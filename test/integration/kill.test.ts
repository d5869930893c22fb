import assert from "node:assert/strict";
import { after, test } from "node:test";
import { buildApps, processGroup, startCallee, startCaller, startHost } from "../support/apps.ts";
import { Load } from "../support/load.ts";
import { kill, ownHome } from "../support/processes.ts";
import { waitFor } from "../support/wait.ts";

const CALLERS = 24;

const apps = await buildApps({ after });

/** Until every caller has had some answers, and calls of all kinds are under way. */
async function isSteady(...loads: readonly Load[]): Promise<void> {
  for (const load of loads) await load.everyCaller("right", 8);
}

/** Whatever happened, nobody was given an answer that was not theirs, or not a whole one. */
function assertNoWrongAnswer(load: Load): void {
  assert.equal(load.count("wrong"), 0, load.messages("wrong"));
}

/**
 * The sidecar the callers stand beside is alive: it has to answer, if only with an error. Holds for apps that write an
 * answer at once, as those in Node and Go do: what is killed between two writes has begun an answer that must break.
 */
function assertAlwaysAnswered(load: Load): void {
  assertNoWrongAnswer(load);
  assert.equal(load.count("broken"), 0, load.messages("broken"));
}

/** Untouched by what happened to others. */
function assertAllRight(load: Load): void {
  assertAlwaysAnswered(load);
  assert.equal(load.count("refused"), 0, load.messages("refused"));
}

async function isGone(appPid: number): Promise<void> {
  await waitFor(`process group ${appPid} to end`, () => processGroup(appPid).length === 0);
}

test("kill -9 of an app: its calls fail visibly, every other call is right", async (t) => {
  const home = ownHome(t);
  const victim = await startCallee(t, { home, appId: "victim", command: apps.serve("node") });
  await startCallee(t, { home, appId: "other", command: apps.serve("go") });
  const { api } = await startCaller(t, { home, appId: "caller" });
  const toVictim = new Load(t, { api, target: "victim", callers: CALLERS });
  const toOther = new Load(t, { api, target: "other", callers: CALLERS });
  await isSteady(toVictim, toOther);

  kill(victim.appPid, "SIGKILL");
  await Promise.all([toVictim.everyCaller("refused", 3), toOther.everyCaller("right", 20)]);
  await Promise.all([toVictim.stop(), toOther.stop()]);

  assertAlwaysAnswered(toVictim);
  assertAllRight(toOther);
  assert.deepEqual([...toVictim.answeredBy.keys()], [`node:${victim.appPid}`]);
});

test("kill -9 of one of two sidecars of an app: no call fails, and its own app ends", async (t) => {
  const home = ownHome(t);
  const killed = await startCallee(t, { home, appId: "callee", command: apps.serve("node") });
  const survivor = await startCallee(t, { home, appId: "callee", command: apps.serve("go") });
  const { api } = await startCaller(t, { home, appId: "caller" });
  const load = new Load(t, { api, target: "callee", callers: CALLERS });
  await waitFor("both instances to answer", () => load.answeredBy.size === 2);
  await isSteady(load);
  assert.ok(processGroup(killed.appPid).length > 0);

  kill(killed.outrigger.pid, "SIGKILL");
  await killed.outrigger.exited();
  await isGone(killed.appPid);
  // Of two calls that a caller ends from now on, the second was begun after the kill.
  await load.everyCaller("right", 2);
  const beforeKill = load.answeredBy.get(`node:${killed.appPid}`);
  await load.everyCaller("right", 20);
  await load.stop();

  assertAllRight(load);
  assert.deepEqual([...load.answeredBy.keys()].sort(), [`go:${survivor.appPid}`, `node:${killed.appPid}`]);
  assert.equal(load.answeredBy.get(`node:${killed.appPid}`), beforeKill);
});

test("kill -9 of a host: callers elsewhere are told, its apps end, and one that starts anew is found", async (t) => {
  const home = ownHome(t);
  const host = await startHost(t, home, [
    { appId: "hosted", command: apps.serve("node"), serves: true },
    { appId: "neighbour", command: apps.serve("node"), serves: true },
  ]);
  const [hosted, neighbour] = [await host.callee("hosted"), await host.callee("neighbour")];
  await startCallee(t, { home, appId: "other", command: apps.serve("go") });
  const { api } = await startCaller(t, { home, appId: "caller" });
  const inside = new Load(t, { api: neighbour.api, target: "hosted", callers: CALLERS });
  const outside = new Load(t, { api, target: "hosted", callers: CALLERS });
  const toOther = new Load(t, { api, target: "other", callers: CALLERS });
  await isSteady(inside, outside, toOther);
  const groups = [hosted.appPid, neighbour.appPid];
  for (const group of groups) assert.ok(processGroup(group).length > 0);

  kill(host.outrigger.pid, "SIGKILL");
  const callersSaw = [
    inside.everyCaller("broken", 3),
    outside.everyCaller("refused", 3),
    toOther.everyCaller("right", 20),
  ];
  await Promise.all([...callersSaw, ...groups.map(isGone)]);
  await inside.stop();
  const anew = await startCallee(t, { home, appId: "hosted", command: apps.serve("go") });
  await outside.everyCaller("right", 8);
  await Promise.all([outside.stop(), toOther.stop()]);

  assertNoWrongAnswer(inside);
  assertAlwaysAnswered(outside);
  assertAllRight(toOther);
  assert.deepEqual([...inside.answeredBy.keys()], [`node:${hosted.appPid}`]);
  assert.deepEqual([...outside.answeredBy.keys()].sort(), [`go:${anew.appPid}`, `node:${hosted.appPid}`]);
});
