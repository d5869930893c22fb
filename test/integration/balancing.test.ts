import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, test } from "node:test";
import { buildApps, type RunningCallee, startCallee, startCaller } from "../support/apps.ts";
import { answerTo, begin, textOf } from "../support/apps-client.ts";
import type { TestScope } from "../support/cleanup.ts";
import { Load } from "../support/load.ts";
import { kill, ownHome } from "../support/processes.ts";

const apps = await buildApps({ after });

/** Who answers `count` calls in a row: the pids of the apps, in order. Every call must succeed. */
async function answerers(t: TestScope, api: string, target: string, count: number): Promise<number[]> {
  const pids: number[] = [];
  for (let i = 0; i < count; i++) {
    // Every second body is chunked, and cannot be sent again once it has been read.
    const headers = i % 2 === 0 ? { "Content-Length": 4 } : {};
    const request = begin(t, { api, target }, { method: "POST", path: "/echo", headers });
    request.end("ping");
    const answer = await answerTo(request);
    const text = await textOf(answer);
    assert.equal(answer.statusCode, 200, text);
    const { pid, bodySha256 } = JSON.parse(text) as { pid: number; bodySha256: string };
    assert.equal(bodySha256, createHash("sha256").update("ping").digest("hex"));
    pids.push(pid);
  }
  return pids;
}

function shares(pids: readonly number[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const pid of pids) counts.set(pid, (counts.get(pid) ?? 0) + 1);
  return counts;
}

function evenly(instances: readonly RunningCallee[], each: number): Map<number, number> {
  return new Map(instances.map(({ appPid }) => [appPid, each]));
}

function startInstances(t: TestScope, home: string, count: number): Promise<RunningCallee[]> {
  const command = apps.serve("go");
  return Promise.all(Array.from({ length: count }, () => startCallee(t, { home, appId: "callee", command })));
}

test("calls are spread evenly over the instances of an app", async (t) => {
  const home = ownHome(t);
  const instances = await startInstances(t, home, 3);
  const { api } = await startCaller(t, { home, appId: "caller" });
  assert.deepEqual(sorted(shares(await answerers(t, api, "callee", 30))), sorted(evenly(instances, 10)));
});

test("an instance that was killed is skipped at once, and no call fails for it", async (t) => {
  const home = ownHome(t);
  const [killed, ...left] = await startInstances(t, home, 3);
  assert.ok(killed);
  const { api } = await startCaller(t, { home, appId: "caller" });
  const before = shares(await answerers(t, api, "callee", 6));
  assert.deepEqual(sorted(before), sorted(evenly([killed, ...left], 2)));
  kill(killed.outrigger.pid, "SIGKILL");
  await killed.outrigger.exited();
  const after = shares(await answerers(t, api, "callee", 30));
  assert.deepEqual(
    [...after.keys()].sort((a, b) => a - b),
    left.map(({ appPid }) => appPid).sort((a, b) => a - b),
  );
});

// Too long to be kept for a second try: they go on as they come.
const STREAMED = { callers: 20, bodyBytes: 100 * 1024 };

test("an instance that ends in peace loses no call, not even one whose body streams", async (t) => {
  const home = ownHome(t);
  const [ended, left] = await startInstances(t, home, 2);
  assert.ok(ended !== undefined && left !== undefined);
  const { api } = await startCaller(t, { home, appId: "caller" });
  const load = new Load(t, { api, target: "callee", ...STREAMED });
  await load.everyCaller("right", 8);
  await ended.outrigger.stop();
  await load.everyCaller("right", 8);
  await load.stop();
  for (const kind of ["wrong", "broken", "refused"] as const) assert.equal(load.count(kind), 0, load.messages(kind));
  assert.deepEqual([...load.answeredBy.keys()].sort(), [ended, left].map(({ appPid }) => `go:${appPid}`).sort());
});

test("an instance that is killed costs the calls it had at most, and each of them is told", async (t) => {
  const home = ownHome(t);
  const [killed, left] = await startInstances(t, home, 2);
  assert.ok(killed !== undefined && left !== undefined);
  const { api } = await startCaller(t, { home, appId: "caller" });
  const load = new Load(t, { api, target: "callee", ...STREAMED });
  await load.everyCaller("right", 8);
  kill(killed.outrigger.pid, "SIGKILL");
  await load.everyCaller("right", 8);
  await load.stop();
  for (const kind of ["wrong", "broken"] as const) assert.equal(load.count(kind), 0, load.messages(kind));
  assert.ok(load.count("refused") <= STREAMED.callers, load.messages("refused"));
});

test("an instance in another namespace is never used, except by its full name", async (t) => {
  const home = ownHome(t);
  const here = await startInstances(t, home, 1);
  const elsewhere = await startCallee(t, {
    home,
    appId: "callee",
    command: apps.serve("go"),
    env: { NAMESPACE: "elsewhere" },
  });
  const { api } = await startCaller(t, { home, appId: "caller" });
  assert.deepEqual(shares(await answerers(t, api, "callee", 12)), evenly(here, 12));
  assert.deepEqual(shares(await answerers(t, api, "callee.elsewhere", 12)), evenly([elsewhere], 12));
  for (const { outrigger } of here) await outrigger.stop();
  const request = begin(t, { api, target: "callee" }, { path: "/echo" });
  request.end();
  const answer = await answerTo(request);
  assert.equal(answer.statusCode, 500);
  const { errorCode, message } = JSON.parse(await textOf(answer)) as Record<string, string>;
  assert.equal(errorCode, "ERR_DIRECT_INVOKE");
  assert.match(message ?? "", /no host found/);
});

function sorted(counts: ReadonlyMap<number, number>): [number, number][] {
  return [...counts].sort(([a], [b]) => a - b);
}
