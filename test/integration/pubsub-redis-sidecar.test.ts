import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { describe, test } from "node:test";
import type { TestScope } from "../support/cleanup.ts";
import { type Outrigger, startOutrigger } from "../support/outrigger.ts";
import { ownPort } from "../support/own-port.ts";
import { folderWith, ownHome, runToEnd } from "../support/processes.ts";
import { Gate } from "../support/pubsub-world.ts";
import { startRedis } from "../support/redis-server.ts";
import { type SubscribedApp, startSubscribedApp, type TakenEvent } from "../support/subscribed-app.ts";
import { waitFor } from "../support/wait.ts";

/** Sidecars whose events are in Redis, as a user starts them. */

type Fields = Readonly<Record<string, string>>;

const SECRET = "s3cret-Pw7!";
const SOON: Fields = { processingTimeout: "2s", redeliverInterval: "500ms" };
const ORDERS = [{ pubsubname: "events", topic: "orders", route: "/orders" }];

/** A Component `events`. @param more lines of its spec, and of fields. */
function component(redisHost: string, fields: Fields = SOON, more: { spec?: string; metadata?: string } = {}): string {
  const lines = Object.entries({ redisHost, ...fields }).map(
    ([name, value]) => `  - {name: ${name}, value: "${value}"}`,
  );
  return `apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: events}
spec:
  type: pubsub.redis
  version: v1
${more.spec ?? ""}  metadata:
${lines.join("\n")}
${more.metadata ?? ""}`;
}

async function sidecarArgs(t: TestScope, yaml: string, app?: SubscribedApp, more: readonly string[] = []) {
  const [port, grpcPort] = [await ownPort(), await ownPort()];
  const ports = ["--dapr-http-port", String(port), "--dapr-grpc-port", String(grpcPort)];
  const appPort = app === undefined ? [] : ["--app-port", String(app.port)];
  const folder = folderWith(t, { "events.yaml": yaml });
  return ["sidecar", "--app-id", "shop", ...ports, ...appPort, "--resources-path", folder, ...more];
}

interface Sidecar {
  readonly outrigger: Outrigger;
  readonly api: string;
  readonly publish: (topic: string, data: unknown) => Promise<{ readonly status: number; readonly body: string }>;
}

interface SidecarOptions {
  readonly app?: SubscribedApp;
  readonly home?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly flags?: readonly string[];
}

async function startSidecar(
  t: TestScope,
  yaml: string,
  { app, home = ownHome(t), env = {}, flags = [] }: SidecarOptions = {},
): Promise<Sidecar> {
  const outrigger = startOutrigger(t, await sidecarArgs(t, yaml, app, flags), { home, env });
  const api = await outrigger.readyApi("shop");
  const publish: Sidecar["publish"] = async (topic, data) => {
    const headers = { "Content-Type": "application/json" };
    const url = `${api}/v1.0/publish/events/${topic}`;
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(data) });
    return { status: response.status, body: await response.text() };
  };
  return { outrigger, api, publish };
}

function dataOf(events: readonly TakenEvent[]): unknown[] {
  return events.map(({ data }) => data);
}

function linesWith(outrigger: Outrigger, pattern: RegExp): string[] {
  return outrigger.output.split("\n").filter((line) => pattern.test(line));
}

describe("a sidecar with pubsub.redis", { concurrency: 2, timeout: 240_000 }, () => {
  test("delivers, with a password that nobody is told", async (t) => {
    const server = await startRedis(t, { args: ["--requirepass", SECRET], client: { password: SECRET } });
    const app = await startSubscribedApp(t, ORDERS);
    const password = "  - {name: redisPassword, secretKeyRef: {name: PW}}\nauth: {secretStore: env}\n---\n";
    const store =
      "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: env}\nspec: {type: secretstores.local.env}\n";
    const { outrigger, api, publish } = await startSidecar(
      t,
      component(server.host, SOON, { metadata: password + store }),
      {
        app,
        env: { PW: SECRET },
        flags: ["--log-level", "debug"],
      },
    );
    assert.deepEqual(await publish("orders", { n: 1 }), { status: 204, body: "" });
    await waitFor("the event", () => app.events.length === 1);
    assert.deepEqual(dataOf(app.events), [{ n: 1 }]);
    const metadata = await (await fetch(`${api}/v1.0/metadata`)).text();
    assert.match(metadata, /"name":"events","type":"pubsub\.redis","version":"v1"/);
    await server.kill();
    const failed = await publish("orders", { n: 2 });
    await outrigger.stop();
    for (const said of [outrigger.output, metadata, failed.body]) assert.ok(!said.includes(SECRET), said);
  });

  test("does not start with a password that is wrong, and does not say it", async (t) => {
    const server = await startRedis(t, { args: ["--requirepass", "another"], client: { password: "another" } });
    const args = await sidecarArgs(t, component(server.host, { redisPassword: SECRET }), undefined, [
      "--log-level",
      "debug",
    ]);
    const { code, stdout, stderr } = await runToEnd(t, args, { home: ownHome(t) });
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^outrigger: Component events \(pubsub\.redis\) in .*events\.yaml: cannot connect to Redis at .*WRONGPASS/m,
    );
    assert.ok(!(stdout + stderr).includes(SECRET));
  });

  test("does not start while Redis is down, and says where it looked; ignoreErrors leaves the component out", async (t) => {
    const host = `127.0.0.1:${await ownPort()}`;
    const { code, stderr } = await runToEnd(t, await sidecarArgs(t, component(host)), { home: ownHome(t) });
    assert.equal(code, 1);
    const why = `cannot connect to Redis at ${host}: connect ECONNREFUSED ${host}; see that it runs and that redisHost is right`;
    const lines = stderr.trimEnd().split("\n");
    assert.ok(lines.at(-1)?.endsWith(`events.yaml: ${why}`), stderr);
    const { publish, outrigger } = await startSidecar(t, component(host, SOON, { spec: "  ignoreErrors: true\n" }));
    const { status, body } = await publish("orders", { n: 1 });
    assert.deepEqual([status, (JSON.parse(body) as { errorCode: string }).errorCode], [404, "ERR_PUBSUB_NOT_FOUND"]);
    assert.match(outrigger.output, /cannot connect to Redis.*it was left out, as its ignoreErrors says/);
    assert.equal(await outrigger.stop(), 0);
  });

  test("does not start where Redis says nothing for its initTimeout, whatever dialTimeout is", async (t) => {
    const mute = net.createServer();
    mute.listen(0, "127.0.0.1");
    await once(mute, "listening");
    t.after(() => mute.close());
    const host = `127.0.0.1:${(mute.address() as net.AddressInfo).port}`;
    const yaml = component(host, { dialTimeout: "10m" }, { spec: '  initTimeout: "300ms"\n' });
    const { code, stderr } = await runToEnd(t, await sidecarArgs(t, yaml), { home: ownHome(t) });
    assert.equal(code, 1);
    assert.match(stderr, /Component events .*: it was not ready within its initTimeout, 300ms/);
  });

  test("answers 500 while Redis is away, delivers once it is back, and says so once", async (t) => {
    const server = await startRedis(t, { appendOnly: "always" });
    const app = await startSubscribedApp(t, ORDERS);
    const { outrigger, publish } = await startSidecar(t, component(server.host, { ...SOON, poolTimeout: "300ms" }), {
      app,
    });
    assert.equal((await publish("orders", 1)).status, 204);
    await waitFor("the event", () => app.events.length === 1);
    await server.kill();
    for (let tries = 0; tries < 3; tries++) {
      const { status, body } = await publish("orders", "lost");
      const { errorCode, message } = JSON.parse(body) as { errorCode: string; message: string };
      assert.deepEqual([status, errorCode], [500, "ERR_PUBSUB_PUBLISH_MESSAGE"]);
      assert.match(message, /^error when publishing to topic orders in pubsub events: .*Redis at 127\.0\.0\.1:\d+/);
    }
    await server.restart();
    await waitFor("a publish that is taken", async () => (await publish("orders", 2)).status === 204);
    await waitFor("the event", () => dataOf(app.events).includes(2));
    assert.equal(dataOf(app.events).filter((data) => data === 1).length, 1);
    await waitFor("the log", () => linesWith(outrigger, /connected to Redis at .* again after/).length > 0);
    assert.equal(linesWith(outrigger, /lost the connection to Redis/).length, 1, outrigger.output);
    assert.equal(linesWith(outrigger, /connected to Redis at .* again after/).length, 1, outrigger.output);
    assert.deepEqual(linesWith(outrigger, /cannot be read|cannot subscribe/), []);
  });

  test("shares the events with another instance of its app", async (t) => {
    const { host } = await startRedis(t);
    const bothHold = new Gate();
    const holding = new Set<number>();
    const apps: SubscribedApp[] = [];
    const home = ownHome(t);
    const sidecars: Sidecar[] = [];
    for (const at of [0, 1]) {
      const app = await startSubscribedApp(t, ORDERS, async () => {
        holding.add(at);
        if (holding.size === 2) bothHold.open();
        await bothHold.opened;
        return 200;
      });
      apps.push(app);
      // What one instance holds is out of the other's reach: neither may take all there is.
      const fields = { ...SOON, queueDepth: "4", concurrency: "2" };
      sidecars.push(await startSidecar(t, component(host, fields), { app, home }));
    }
    const numbers = Array.from({ length: 40 }, (_, n) => n);
    const [one, two] = sidecars;
    assert.ok(one && two);
    await Promise.all(numbers.map((n) => (n % 2 === 0 ? one : two).publish("orders", n)));
    const together = (): unknown[] => dataOf(apps.flatMap(({ events }) => events));
    await waitFor("every event", () => new Set(together()).size === numbers.length);
    assert.equal(together().length, numbers.length);
  });

  test("keeps the order of a key where one of its events fails", async (t) => {
    const { host } = await startRedis(t);
    let failures = 0;
    const [subscription] = ORDERS;
    const keyed = { ...subscription, metadata: { orderingKey: "event.data.key" } };
    const app = await startSubscribedApp(t, [keyed], ({ data }) => {
      const { key, n } = data as { key: string; n: number };
      return key === "a" && n === 1 && failures++ < 2 ? 500 : 200;
    });
    const { publish } = await startSidecar(t, component(host), { app });
    for (const n of [0, 1, 2, 3]) for (const key of ["a", "b"]) await publish("orders", { key, n });
    const of = (key: string): number[] =>
      app.events.flatMap(({ data }) => ((data as { key: string }).key === key ? [(data as { n: number }).n] : []));
    await waitFor("the last of both", () => of("a").includes(3) && of("b").includes(3));
    assert.deepEqual(
      [of("a"), of("b")],
      [
        [0, 1, 1, 1, 2, 3],
        [0, 1, 2, 3],
      ],
    );
  });

  test("holds no more events for a slow app than its queue has room for", async (t) => {
    const server = await startRedis(t);
    const gate = new Gate();
    const app = await startSubscribedApp(t, ORDERS, () => gate.opened.then(() => 200));
    const { publish } = await startSidecar(t, component(server.host, { queueDepth: "7", concurrency: "2" }), { app });
    const numbers = Array.from({ length: 60 }, (_, n) => n);
    for (const n of numbers) await publish("orders", n);
    const redis = server.client();
    const held = async (): Promise<unknown> => (await redis.xpending("orders", "shop"))[0];
    await waitFor("a full queue", async () => (await held()) === 7);
    assert.equal(app.events.length, 2);
    for (const n of numbers) await publish("elsewhere", n);
    assert.equal(await held(), 7);
    gate.open();
    await waitFor("all of them", () => app.events.length === numbers.length);
    assert.deepEqual(new Set(dataOf(app.events)), new Set(numbers));
    await waitFor("all of them to be known as done", async () => (await held()) === 0);
  });

  test("does not hand out twice what an app works on for longer than processingTimeout", async (t) => {
    const server = await startRedis(t);
    const gate = new Gate();
    const home = ownHome(t);
    const fields = { processingTimeout: "300ms", redeliverInterval: "50ms" };
    const apps: SubscribedApp[] = [];
    for (let at = 0; at < 2; at++) {
      const app = await startSubscribedApp(t, ORDERS, ({ data }) =>
        data === "long" ? gate.opened.then(() => 200) : 200,
      );
      apps.push(app);
      await startSidecar(t, component(server.host, fields), { app, home });
    }
    const redis = server.client();
    const event = { specversion: "1.0", id: "1", source: "s", type: "t", data: "long" };
    await redis.xadd("orders", "*", "data", JSON.stringify(event));
    const together = (): TakenEvent[] => apps.flatMap(({ events }) => events);
    await waitFor("the event", () => together().length === 1);
    // It is renewed each third of the timeout: so often is three times as long.
    let [renewals, idle] = [0, 0];
    await waitFor("it to be renewed again and again", async () => {
      const [pending] = (await redis.xpending("orders", "shop", "-", "+", 1)) as [string, string, number, number][];
      const now = pending?.[2] ?? 0;
      if (now < idle) renewals += 1;
      idle = now;
      return renewals >= 9;
    });
    gate.open();
    await waitFor("it to be known as done", async () => (await redis.xpending("orders", "shop"))[0] === 0);
    assert.equal(together().length, 1);
  });

  test("ends in its time while Redis answers nothing", async (t) => {
    const server = await startRedis(t);
    const app = await startSubscribedApp(t, ORDERS);
    // Nothing of what Redis is given for its answers is waited for.
    const patient = { readTimeout: "10m", poolTimeout: "10m", dialTimeout: "10m" };
    const { outrigger, publish } = await startSidecar(t, component(server.host, { ...SOON, ...patient }), {
      app,
      flags: ["--dapr-graceful-shutdown-seconds", "1"],
    });
    await publish("orders", 1);
    await waitFor("the event", () => app.events.length === 1);
    server.freeze(true);
    const unanswered = publish("orders", 2).catch(() => undefined);
    outrigger.process.kill("SIGTERM");
    await waitFor("the end", () => outrigger.hasExited);
    await unanswered;
    server.freeze(false);
  });

  test("has its dead letters listed and delivered again by outrigger dlq", async (t) => {
    const { host } = await startRedis(t);
    const home = ownHome(t);
    let status = 500;
    const app = await startSubscribedApp(t, [{ ...ORDERS[0], deadLetterTopic: "orders-dead" }], () => status);
    const { publish } = await startSidecar(t, component(host), { app, home });
    for (const n of [1, 2]) await publish("orders", { n });
    const list = async (): Promise<{ id: string; originalTopic: string }[]> => {
      const { stdout, stderr } = await runToEnd(t, ["dlq", "list", "--topic", "orders-dead", "--json"], { home });
      assert.equal(stderr, "");
      return JSON.parse(stdout) as { id: string; originalTopic: string }[];
    };
    const letters = await waitFor("the dead letters", async () => {
      const listed = await list();
      return listed.length === 2 ? listed : undefined;
    });
    assert.deepEqual(
      letters.map(({ originalTopic }) => originalTopic),
      ["orders", "orders"],
    );
    status = 200;
    const { code, stdout, stderr } = await runToEnd(t, ["dlq", "replay", "--all", "--topic", "orders-dead"], { home });
    assert.deepEqual([code, stdout], [0, "2 replayed, 0 failed\n"], stderr);
    await waitFor("them at the app again", () => app.events.length === 4);
    assert.deepEqual(dataOf(app.events), [{ n: 1 }, { n: 2 }, { n: 1 }, { n: 2 }]);
    assert.deepEqual(await list(), []);
  });
});
