import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { TestScope } from "../support/cleanup.ts";
import { DEFAULT_PUBSUB, startOutrigger } from "../support/outrigger.ts";
import { folderWith, ownHome, startBeside } from "../support/processes.ts";
import { TEST_PROCESSES } from "../support/pubsub-context.ts";
import { smallDisk } from "../support/small-disk.ts";
import { checkPublishes } from "../support/sync-trace.ts";
import { waitFor } from "../support/wait.ts";

/** `pubsub.local` as a user meets it: behind the API of the whole program. */

const TOPIC = "orders";
const FLAGS = [DEFAULT_PUBSUB];
const STORE = "pubsub/pubsub";
// Longer than the grace of five seconds, and than what a broker has to close.
const LONGEST_END_MS = 25_000;

interface Shop {
  readonly port: number;
  /** When each event came, by its text. */
  readonly got: Map<string, number>;
}

/** An app that is subscribed and takes everything. */
async function startShop(t: TestScope): Promise<Shop> {
  const got = new Map<string, number>();
  const server = http.createServer((request, response) => {
    void (async () => {
      const at = performance.now();
      const body = await text(request);
      if (request.url === "/dapr/subscribe") {
        response.end(JSON.stringify([{ pubsubname: "pubsub", topic: TOPIC, route: "/orders" }]));
      } else {
        got.set((JSON.parse(body) as { data: string }).data, at);
        response.end();
      }
    })();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, got };
}

async function publish(api: string, event: string): Promise<{ status: number; body: string }> {
  const response = await fetch(`${api}/v1.0/publish/pubsub/${TOPIC}`, { method: "POST", body: event });
  return { status: response.status, body: await response.text() };
}

async function published(api: string, event: string): Promise<void> {
  assert.deepEqual(await publish(api, event), { status: 204, body: "" });
}

test("no 204 is on the wire before the disk has its event, one by one and sixteen at once, in two processes", async (t) => {
  const home = ownHome(t);
  const folder = folderWith(t, {});
  const calls = "trace=openat,read,recvfrom,fdatasync,fsync,msync,pwrite64,pwritev,write,writev,sendto,sendmsg";
  const start = async (appId: string): Promise<{ api: string; trace: string; stop: () => Promise<unknown> }> => {
    const trace = join(folder, appId);
    const within = ["strace", "-D", "-f", "-y", "-s", "400000", "-e", calls, "-o", trace];
    const outrigger = startOutrigger(t, ["run", "--app-id", appId, ...FLAGS], { home, within });
    return { api: await outrigger.api(appId), trace, stop: () => outrigger.stop() };
  };
  const traced = await Promise.all([start("first"), start("second")]);
  const events = await Promise.all(
    traced.map(async ({ api }, process) => {
      let count = 0;
      const one = async (): Promise<string> => {
        const event = `event ${process}.${++count} of the trace`;
        await published(api, event);
        return event;
      };
      const made: string[] = [];
      for (let at = 0; at < 20; at++) made.push(await one());
      for (let round = 0; round < 5; round++) made.push(...(await Promise.all(Array.from({ length: 16 }, one))));
      return made;
    }),
  );
  for (const { stop } of traced) await stop();
  for (const [at, { trace }] of traced.entries()) {
    // The tracer may be at work for a moment longer than the program.
    await waitFor("the end of the trace", () => readFileSync(trace, "utf8").includes("+++ exited with 0 +++"));
    const { answers, commits } = checkPublishes(readFileSync(trace, "utf8").split("\n"), events[at] ?? []);
    assert.equal(answers, events[at]?.length);
    assert.ok(commits < answers, `${commits} commits for ${answers} answers`);
    t.diagnostic(`${answers} answers after ${commits} commits`);
  }
});

test("a full disk is answered with 500 and what to do; there is room again, and publishing goes on", async (t) => {
  const home = smallDisk(t, "size=12m");
  if (home === undefined) {
    t.skip("no file system could be made");
    return;
  }
  const shop = await startShop(t);
  const { api, outrigger } = await startBeside(t, "shop", shop.port, { home, flags: FLAGS });
  await published(api, "the first");
  await waitFor("the first", () => shop.got.has("the first"));
  const filler = join(home, "filler");
  writeFileSync(filler, Buffer.alloc(6 * 1024 ** 2));
  const taken: string[] = [];
  let refusal: { status: number; body: string } | undefined;
  for (let at = 0; refusal === undefined && at < 1000; at++) {
    const event = `${at} `.padEnd(50_000, "x");
    const answer = await publish(api, event);
    if (answer.status === 204) taken.push(event);
    else refusal = answer;
  }
  assert.equal(refusal?.status, 500);
  const { errorCode, message } = JSON.parse(refusal.body) as { errorCode: string; message: string };
  assert.equal(errorCode, "ERR_PUBSUB_PUBLISH_MESSAGE");
  assert.match(message, /topic orders in pubsub pubsub: .*the disk is full.*make room/);
  assert.equal(outrigger.hasExited, false);
  rmSync(filler);
  await waitFor("room", async () => (await publish(api, "there is room again")).status === 204);
  await waitFor("all that was taken, and the last", () =>
    [...taken, "there is room again"].every((event) => shop.got.has(event)),
  );
  assert.equal(await outrigger.stop(), 0, outrigger.output);
});

test("a damaged store is told in the log and at each publish, and one that is begun anew is used", async (t) => {
  const home = ownHome(t);
  const before = await startBeside(t, "shop", undefined, { home, flags: FLAGS });
  for (let at = 0; at < 50; at++) await published(before.api, `${at}`);
  await before.outrigger.stop();
  const data = join(home, STORE, "log/data.mdb");
  truncateSync(data, Math.floor(statSync(data).size / 2));
  const shop = await startShop(t);
  const { api, outrigger } = await startBeside(t, "shop", shop.port, { home, flags: FLAGS });
  await outrigger.waitForOutput(/cannot subscribe: .*is damaged \(.*mv /);
  const { status, body } = await publish(api, "x");
  assert.equal(status, 500);
  assert.match(body, /ERR_PUBSUB_PUBLISH_MESSAGE.*is damaged \(.*mv /);
  rmSync(join(home, STORE), { recursive: true });
  await published(api, "anew");
  await waitFor("the event", () => shop.got.has("anew"));
});

test("two apps of one run file and a third process share the store", async (t) => {
  const home = ownHome(t);
  const shops = [await startShop(t), await startShop(t)];
  const apps = shops.map(({ port }, at) => `  - {appID: app-${at}, appDirPath: ., appPort: ${port}}`);
  const folder = folderWith(t, { "dapr.yaml": ["version: 1", "apps:", ...apps, ""].join("\n") });
  const hosted = startOutrigger(t, ["run", "-f", join(folder, "dapr.yaml")], { home });
  const third = await startBeside(t, "third", undefined, { home, flags: FLAGS });
  const apis = [await hosted.readyApi("app-0"), await hosted.readyApi("app-1"), third.api];
  const events = apis.flatMap((_, at) => Array.from({ length: 20 }, (__, count) => `${at}.${count}`));
  await Promise.all(events.map((event, at) => published(apis[Math.floor(at / 20)] ?? "", event)));
  for (const [at, { got }] of shops.entries()) {
    await waitFor(`everything at app-${at}`, () => events.every((event) => got.has(event)));
  }
  assert.equal(await third.outrigger.stop(), 0);
  await published(apis[0] ?? "", "after the third");
  for (const { got } of shops) await waitFor("the last", () => got.has("after the third"));
  assert.equal(await hosted.stop(), 0, hosted.output);
});

test("across processes: how soon events come, what a subscription costs while nothing happens, what the writer's thread costs", async (t) => {
  const home = ownHome(t);
  const shop = await startShop(t);
  const subscriber = await startBeside(t, "shop", shop.port, { home, flags: FLAGS });
  const publisher = await startBeside(t, "publisher", undefined, { home, flags: FLAGS });
  const rssBefore = rssMiB(publisher.outrigger.pid);
  const begun = performance.now();
  await published(publisher.api, "the first");
  const firstMs = performance.now() - begun;
  const rssAfter = rssMiB(publisher.outrigger.pid);
  await waitFor("the first", () => shop.got.has("the first"));
  const pauses: number[] = [];
  for (let at = 0; at < 200; at++) {
    const from = performance.now();
    await published(publisher.api, `${at}`);
    await waitFor("the event", () => shop.got.has(`${at}`));
    pauses.push((shop.got.get(`${at}`) ?? Infinity) - from);
  }
  pauses.sort((one, other) => one - other);
  t.diagnostic(
    `publish to app, two processes, ms: p50 ${pauses[100]?.toFixed(1)}, p90 ${pauses[180]?.toFixed(1)}, most ${pauses[199]?.toFixed(1)}`,
  );
  t.diagnostic(
    `first publish ${firstMs.toFixed(0)} ms; memory of the process ${rssBefore.toFixed(0)} MiB before it, ${rssAfter.toFixed(0)} after`,
  );
  const idleMs = 5000;
  const before = [subscriber, publisher].map(({ outrigger }) => cpuMs(outrigger.pid));
  await sleep(idleMs);
  const spent = [subscriber, publisher].map(({ outrigger }, at) => cpuMs(outrigger.pid) - (before[at] ?? 0));
  t.diagnostic(`CPU in ${idleMs} ms with nothing to do: subscriber ${spent[0]} ms, publisher ${spent[1]} ms`);
  // Of CPU and not of time: whoever asks all the time takes a hundred times that.
  assert.ok(Math.max(...spent) < idleMs / 10, `${spent.join()} ms of CPU`);
  const ends = performance.now();
  assert.equal(await publisher.outrigger.stop(), 0, publisher.outrigger.output);
  assert.equal(await subscriber.outrigger.stop(), 0, subscriber.outrigger.output);
  t.diagnostic(`both ended within ${(performance.now() - ends).toFixed(0)} ms`);
});

test("a process that waits for the store ends in time", async (t) => {
  const home = ownHome(t);
  const store = join(home, STORE);
  mkdirSync(store, { recursive: true });
  writeFileSync(join(store, "opening"), JSON.stringify(TEST_PROCESSES.own));
  const shop = await startShop(t);
  const { api, outrigger } = await startBeside(t, "shop", shop.port, { home, flags: FLAGS });
  const waiting = publish(api, "x").catch(() => undefined);
  await outrigger.waitForOutput(/another process is opening the store/);
  const from = performance.now();
  assert.equal(await outrigger.stop(), 0, outrigger.output);
  await waiting;
  assert.ok(performance.now() - from < LONGEST_END_MS, "it was not ended by what waits");
});

function rssMiB(pid: number): number {
  const [, kib] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kib) / 1024;
}

/** Of all its threads. */
function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // A tick is 10 ms on Linux.
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
