import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { type TestContext, test } from "node:test";
import { ownHome, type RunningApp, startBeside } from "../support/processes.ts";
import { RawConnection } from "../support/raw-http.ts";
import { startInTestApp } from "../support/raw-http-app.ts";
import { waitFor } from "../support/wait.ts";

/** `--app-max-concurrency`: how many calls an app is given at once; `--app-max-queue`: how many wait meanwhile. */

/** A call that waits for a slot for ever fails its test instead. */
const BOUNDED = { timeout: 60_000 };

/** An app that counts how many of its answers are open at the same time, by itself. */
interface CountingApp {
  readonly port: number;
  /** Answers begun and not ended, with their paths. */
  readonly open: Map<string, ServerResponse>;
  /** The largest number of those there ever was. */
  mostOpen: number;
  readonly begun: readonly string[];
}

/** @param answer is given the open answers, and ends what it likes. */
async function startCountingApp(
  t: TestContext,
  answer: (open: Map<string, ServerResponse>, path: string) => void,
): Promise<CountingApp> {
  const open = new Map<string, ServerResponse>();
  const app = await startInTestApp(t, (request, response) => {
    const path = request.url ?? "";
    open.set(path, response);
    counting.mostOpen = Math.max(counting.mostOpen, open.size);
    // As soon as it is ended or cut: its bytes may be with the sidecar before the app is told that they have left.
    for (const event of ["prefinish", "close"]) response.once(event, () => open.delete(path));
    answer(open, path);
  });
  const counting: CountingApp = { port: app.port, open, mostOpen: 0, begun: app.begun };
  return counting;
}

/** Answers every call with its path. */
function endAll(open: Map<string, ServerResponse>): void {
  for (const [path, response] of open) response.end(path);
}

/** Callee and caller in processes of their own. */
async function startPair(
  t: TestContext,
  appPort: number,
  limit: string,
  flags: readonly string[] = [],
): Promise<[callee: RunningApp, caller: RunningApp]> {
  const home = ownHome(t);
  const callee = await startBeside(t, "callee", appPort, { home, flags: ["--app-max-concurrency", limit, ...flags] });
  return [callee, await startBeside(t, "caller", undefined, { home })];
}

const TWELVE = Array.from({ length: 12 }, (_, index) => `/call/${index}`);

/** All at once, half of them from the app's own sidecar. @returns the answers' texts. */
async function callAll([callee, caller]: [RunningApp, RunningApp], paths: readonly string[]): Promise<string[]> {
  const calls = paths.map(async (path, index) => {
    const { api } = index % 2 === 0 ? callee : caller;
    const response = await fetch(`${api}/v1.0/invoke/callee/method${path}`);
    assert.equal(response.status, 200);
    return response.text();
  });
  return Promise.all(calls);
}

test("--app-max-concurrency 1 gives the app one call at a time, whichever way they come", BOUNDED, async (t) => {
  // Each answer stays open over some turns of the event loop, which is when another call would slip in.
  const app = await startCountingApp(t, (open, path) => {
    const response = open.get(path);
    response?.write("begun, ");
    setTimeout(() => response?.end(path), 20);
  });
  const pair = await startPair(t, app.port, "1");
  const texts = await callAll(pair, TWELVE);
  assert.deepEqual(
    texts,
    TWELVE.map((path) => `begun, ${path}`),
  );
  assert.equal(app.mostOpen, 1);
  assert.equal(app.begun.length, 12);
});

test("--app-max-concurrency 3 gives the app three calls at once, and no more", BOUNDED, async (t) => {
  // Nobody is answered before three are there; were there ever to be only two, this would not end.
  const app = await startCountingApp(t, (open) => {
    if (open.size >= 3) setTimeout(endAll, 20, open);
  });
  const pair = await startPair(t, app.port, "3");
  assert.deepEqual(await callAll(pair, TWELVE), TWELVE);
  assert.equal(app.mostOpen, 3);
});

test("without a limit every call is given to the app at once", BOUNDED, async (t) => {
  const app = await startCountingApp(t, (open) => {
    if (open.size === TWELVE.length) endAll(open);
  });
  const pair = await startPair(t, app.port, "-1");
  assert.deepEqual(await callAll(pair, TWELVE), TWELVE);
  assert.equal(app.mostOpen, 12);
});

const BIG = 24 * 1024 * 1024;

test("the slot is held until the caller has read the answer to its end", BOUNDED, async (t) => {
  const app = await startCountingApp(t, (open, path) => {
    open.get(path)?.end(path === "/big" ? Buffer.alloc(BIG, "a") : "small");
  });
  const [callee, caller] = await startPair(t, app.port, "1");
  const slow = await RawConnection.open(t, caller.listed.httpPort);
  slow.write("GET /v1.0/invoke/callee/method/big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  await slow.waitForText(/\r\n\r\na/);
  slow.pause();
  const next = fetch(`${callee.api}/v1.0/invoke/callee/method/next`);
  // Every one of these is answered after the call before it was let through, had it been let through.
  for (let i = 0; i < 50; i++) {
    assert.equal((await fetch(`${callee.api}/v1.0/healthz`)).status, 204);
  }
  assert.deepEqual(app.begun, ["GET /big"]);
  slow.resume();
  assert.equal(await (await next).text(), "small");
  assert.equal((await slow.waitForClose()).length > BIG, true);
  assert.deepEqual(app.begun, ["GET /big", "GET /next"]);
});

test("a caller that goes away gives its slot, and its place in the queue, to the next", BOUNDED, async (t) => {
  const app = await startCountingApp(t, (open, path) => {
    if (path === "/last") open.get(path)?.end("last");
  });
  const [callee] = await startPair(t, app.port, "1");
  const connect = async (path: string): Promise<RawConnection> => {
    const connection = await RawConnection.open(t, callee.listed.httpPort);
    connection.write(`GET /v1.0/invoke/callee/method${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    return connection;
  };
  const holding = await connect("/holding");
  await waitFor("the first call to reach the app", () => app.open.has("/holding"));
  const queueing = await connect("/queueing");
  const last = fetch(`${callee.api}/v1.0/invoke/callee/method/last`);
  queueing.destroy();
  await callee.outrigger.waitForOutput(/GET \/queueing +500/);
  holding.destroy();
  assert.equal(await (await last).text(), "last");
  assert.deepEqual(app.begun, ["GET /holding", "GET /last"]);
});

test("a call that fails gives its slot back", BOUNDED, async (t) => {
  const app = await startCountingApp(t, (open, path) => {
    if (path === "/broken") open.get(path)?.destroy();
    else open.get(path)?.end("whole");
  });
  const [callee, caller] = await startPair(t, app.port, "1");
  for (const { api } of [callee, caller]) {
    assert.equal((await fetch(`${api}/v1.0/invoke/callee/method/broken`)).status, 500);
    assert.equal(await (await fetch(`${api}/v1.0/invoke/callee/method/fine`)).text(), "whole");
  }
});

test(
  "a call for which there is no place in the queue is refused at once, and those that have one get their turn",
  BOUNDED,
  async (t) => {
    // The first call keeps the app until the test lets go of it; then each is answered as it comes.
    let letGo = false;
    const app = await startCountingApp(t, (open) => {
      if (letGo) endAll(open);
    });
    const [callee, caller] = await startPair(t, app.port, "1", ["--app-max-queue", "4"]);
    const first = fetch(`${callee.api}/v1.0/invoke/callee/method/first`);
    await waitFor("the first call to reach the app", () => app.open.has("/first"));
    const refused: string[] = [];
    const calls = TWELVE.map(async (path, index) => {
      const { api } = index % 2 === 0 ? callee : caller;
      const response = await fetch(`${api}/v1.0/invoke/callee/method${path}`);
      const text = await response.text();
      if (response.status === 500) refused.push(text);
      return response.status;
    });
    // None of those that wait has been answered so far, for the app is still with the first.
    await waitFor("all that find no place to be refused", () => refused.length === 8);
    assert.deepEqual(app.begun, ["GET /first"]);
    const why =
      "rpc error: code = ResourceExhausted desc = the app has as many calls as --app-max-concurrency allows (1), and as many wait as --app-max-queue allows (4); call again later";
    const refusal = JSON.stringify({
      errorCode: "ERR_DIRECT_INVOKE",
      message: `failed to invoke, id: callee, err: ${why}`,
    });
    assert.deepEqual(new Set(refused), new Set([refusal]));
    letGo = true;
    endAll(app.open);
    assert.equal((await first).status, 200);
    assert.deepEqual((await Promise.all(calls)).sort(), [200, 200, 200, 200, ...Array.from({ length: 8 }, () => 500)]);
    assert.equal(app.mostOpen, 1);
    assert.equal(app.begun.length, 5);
    // Asked once each: the caller's sidecar has tried none of them again.
    const told = callee.outrigger.output.match(/GET \/call\/\d+ +500/g) ?? [];
    assert.equal(told.length, 8, callee.outrigger.output);
  },
);
