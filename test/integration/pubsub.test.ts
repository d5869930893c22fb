import assert from "node:assert/strict";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import type http from "node:http";
import { join } from "node:path";
import { describe, test } from "node:test";
import type grpc from "@grpc/grpc-js";
import { daprClient } from "../golden/grpc-client.ts";
import type { TestScope } from "../support/cleanup.ts";
import { DEFAULT_PUBSUB, type Outrigger, ROOT, startOutrigger } from "../support/outrigger.ts";
import { ownPort } from "../support/own-port.ts";
import { ended, folderWith, ownHome, type RunningApp, runToEnd, startBeside, whenReady } from "../support/processes.ts";
import { startRedis } from "../support/redis-server.ts";
import { scrape } from "../support/scrape.ts";
import { publish, pubsubComponent, type Subscriber, startSubscriber, subscriptionTo } from "../support/subscriber.ts";
import { waitFor } from "../support/wait.ts";

/** Pub/sub as a user has it: the whole program, an app, files in a folder. */

interface Metadata {
  readonly components?: readonly { readonly name: string; readonly type: string; readonly capabilities?: string[] }[];
  readonly subscriptions?: readonly {
    readonly pubsubname: string;
    readonly topic: string;
    readonly type: string;
    readonly rules?: readonly { readonly match?: string; readonly path: string }[];
    readonly deadLetterTopic?: string;
  }[];
}

async function metadataOf(api: string): Promise<Metadata> {
  return (await (await fetch(`${api}/v1.0/metadata`)).json()) as Metadata;
}

async function topicsOf(api: string): Promise<string[]> {
  return ((await metadataOf(api)).subscriptions ?? []).map(({ topic }) => topic).sort();
}

async function accepted(api: string, topic: string, data: unknown, pubsub?: string): Promise<void> {
  const answer = await publish(api, topic, data, pubsub);
  assert.equal(answer.status, 204, await answer.text());
}

/** A sidecar beside a subscriber, with these files as its resources. */
async function start(
  t: TestScope,
  files: Readonly<Record<string, string>>,
  options: {
    readonly subscriber?: Subscriber;
    readonly flags?: readonly string[];
    readonly home?: string;
    readonly env?: NodeJS.ProcessEnv;
  } = {},
): Promise<RunningApp & { readonly shop: Subscriber; readonly folder: string; readonly home: string }> {
  const shop = options.subscriber ?? (await startSubscriber(t));
  const folder = folderWith(t, { "empty.yaml": "", ...files });
  const home = options.home ?? ownHome(t);
  const flags = ["--resources-path", folder, ...(options.flags ?? [DEFAULT_PUBSUB])];
  const running = await startBeside(t, "shop", shop.port, { home, flags, ...(options.env && { env: options.env }) });
  return { ...running, shop, folder, home };
}

function subscribed(outrigger: Outrigger, topic: string): Promise<unknown> {
  return outrigger.waitForOutput(new RegExp(`subscribed: ${topic.replace("*", "\\*")} of `));
}

const reload = (outrigger: Outrigger, what: string): Promise<unknown> =>
  outrigger.waitForOutput(new RegExp(`resources were read again: .*${what}`));

describe("pub/sub of a running sidecar", { concurrency: 2, timeout: 240_000 }, () => {
  test("works without any resource: what was published before anybody subscribed comes to who does", async (t) => {
    const home = ownHome(t);
    const publisher = await startBeside(t, "till", undefined, { home, flags: [DEFAULT_PUBSUB] });
    for (const n of [1, 2, 3]) await accepted(publisher.api, "orders", { n });
    const { components } = await metadataOf(publisher.api);
    assert.deepEqual(components, [
      { name: "pubsub", type: "pubsub.local", version: "v1", capabilities: ["BULK_PUBLISH"] },
    ]);
    const shop = await startSubscriber(t, [{ pubsubname: "pubsub", topic: "orders", route: "/orders" }]);
    const { api } = await start(t, {}, { subscriber: shop, home });
    const data = await shop.data(3);
    assert.deepEqual(data.map((one) => (one as { n: number }).n).sort(), [1, 2, 3]);
    assert.ok(shop.handed.every(({ path, headers }) => path === "/orders" && headers["pubsubname"] === "pubsub"));
    const { subscriptions } = await metadataOf(api);
    assert.deepEqual(
      subscriptions?.map(({ pubsubname, topic, type, rules }) => [pubsubname, topic, type, rules]),
      [["pubsub", "orders", "PROGRAMMATIC", [{ path: "/orders" }]]],
    );
  });

  test("--no-default-pubsub leaves it out: nothing can be published, and the app is not asked", async (t) => {
    const { api, shop } = await start(t, {}, { flags: ["--no-default-pubsub"] });
    const answer = await publish(api, "orders", 1);
    assert.deepEqual(
      [answer.status, ((await answer.json()) as { errorCode: string }).errorCode],
      [404, "ERR_PUBSUB_NOT_FOUND"],
    );
    assert.deepEqual((await metadataOf(api)).components ?? [], []);
    assert.equal(shop.asked, 0);
  });

  test("a component that a reload brings takes the default's place, and gives it back as it goes", async (t) => {
    const { api, shop, folder, outrigger } = await start(t, { "s.yaml": subscriptionTo("orders", "/orders") });
    await subscribed(outrigger, "orders");
    await accepted(api, "orders", "default");
    await shop.data(1);
    writeFileSync(join(folder, "mem.yaml"), pubsubComponent("pubsub", "pubsub.in-memory"));
    await reload(outrigger, "Component pubsub added");
    assert.deepEqual(
      (await metadataOf(api)).components?.map(({ type }) => type),
      ["pubsub.in-memory"],
    );
    await waitFor("the new one's subscription", async () => {
      await accepted(api, "orders", "memory");
      return shop.handed.some(({ event }) => event.data === "memory");
    });
    rmSync(join(folder, "mem.yaml"));
    await reload(outrigger, "Component pubsub removed");
    assert.deepEqual(
      (await metadataOf(api)).components?.map(({ type }) => type),
      ["pubsub.local"],
    );
    await accepted(api, "orders", "default again");
    await waitFor("the default's", () => shop.handed.some(({ event }) => event.data === "default again"));
  });

  test("Subscriptions come, change and go with their files, and what the app has is finished", async (t) => {
    const { api, shop, folder, outrigger } = await start(t, { "s.yaml": subscriptionTo("orders", "/one") });
    await subscribed(outrigger, "orders");
    const open: http.ServerResponse[] = [];
    shop.answer = (_, response) => open.push(response);
    await accepted(api, "orders", "in flight");
    await shop.data(1);
    writeFileSync(join(folder, "s.yaml"), subscriptionTo("orders", "/two") + subscriptionTo("bills", "/bills"));
    await reload(outrigger, "Subscription bills-subscription added");
    shop.answer = (_, response) => response.writeHead(200).end();
    await accepted(api, "bills", "a bill");
    await waitFor("the bill", () => shop.handed.some(({ path }) => path === "/bills"));
    open[0]?.writeHead(200).end();
    await accepted(api, "orders", "after");
    await waitFor("the other route", () => shop.handed.some(({ path }) => path === "/two"));
    assert.deepEqual(
      shop.handed.filter(({ event }) => event.data === "in flight").map(({ path }) => path),
      ["/one"],
    );
    rmSync(join(folder, "s.yaml"));
    await reload(outrigger, "Subscription orders-subscription removed");
    await waitFor("no subscription", async () => (await topicsOf(api)).length === 0);
  });

  test("a bad edit keeps the last good state, and names file and line of a rule that is no CEL", async (t) => {
    const { api, shop, folder, outrigger } = await start(t, { "s.yaml": subscriptionTo("orders", "/orders") });
    await subscribed(outrigger, "orders");
    const rules = "{rules: [{match: 'event.data.n >', path: /big}], default: /two}";
    writeFileSync(join(folder, "s.yaml"), subscriptionTo("orders", "/orders").replace("{default: /orders}", rules));
    await outrigger.waitForOutput(
      /those before stay in use: .*s\.yaml:7: spec\.routes\.rules\.0\.match: .*event\.data\.n >/,
    );
    await accepted(api, "orders", 1);
    await shop.data(1);
    assert.equal(shop.handed[0]?.path, "/orders");
    const key = "metadata: {orderingKey: 'event.data.'}\n";
    writeFileSync(join(folder, "s.yaml"), subscriptionTo("orders", "/two", key));
    await outrigger.waitForOutput(
      /those before stay in use: Subscription orders-subscription in .*s\.yaml: orderingKey: /,
    );
    assert.deepEqual(await topicsOf(api), ["orders"]);
  });

  for (const [what, file, message] of [
    [
      "an unknown pubsub.* type, with the nearest",
      pubsubComponent("pubsub", "pubsub.redsi"),
      /Component pubsub \(pubsub\.redsi\) in .*f\.yaml: there is no pub\/sub component of type "pubsub\.redsi".*did you mean "pubsub\.redis"\?/,
    ],
    [
      "a rule that is no CEL, with its line",
      subscriptionTo("orders", "/o").replace("{default: /o}", "{rules: [{match: 'event.', path: /a}]}"),
      /f\.yaml:7: spec\.routes\.rules\.0\.match: /,
    ],
    [
      "a field that no broker has, with its line",
      pubsubComponent("pubsub", "pubsub.in-memory", { alowedTopics: "a" }),
      /f\.yaml:4: unknown metadata field "alowedTopics"; did you mean "allowedTopics"\?/,
    ],
  ] as const) {
    test(`the start is refused by ${what}`, async (t) => {
      const folder = folderWith(t, { "f.yaml": file });
      const { code, stderr } = await runToEnd(t, ["run", "--app-id", "shop", "--resources-path", folder], {
        home: ownHome(t),
      });
      assert.equal(code, 1);
      assert.match(stderr, message);
    });
  }

  test("v1alpha1 and v2alpha1, for the apps in their scopes; the app's own word goes before theirs", async (t) => {
    const shop = await startSubscriber(t, [{ pubsubname: "pubsub", topic: "both", route: "/app" }]);
    const v1 = `apiVersion: dapr.io/v1alpha1
kind: Subscription
metadata: {name: old}
spec: {pubsubname: pubsub, topic: old, route: old}
scopes: [shop, till]
`;
    const foreign = `${subscriptionTo("foreign", "/foreign").replace("---\n", "")}scopes: [till]\n`;
    const rules = "{rules: [{match: 'event.data.n > 5', path: /big}], default: /small}";
    const files = {
      "v1.yaml": v1,
      "foreign.yaml": foreign,
      "both.yaml": subscriptionTo("both", "/resource"),
      "v2.yaml": subscriptionTo("sized", "/x").replace("{default: /x}", rules),
    };
    const { api } = await start(t, files, { subscriber: shop });
    await waitFor("the subscriptions", async () => (await topicsOf(api)).length === 3);
    const { subscriptions = [] } = await metadataOf(api);
    const said = subscriptions.map(({ topic, type, rules: has }) => [topic, type, has?.map(({ path }) => path)]);
    assert.deepEqual(said.sort(), [
      ["both", "PROGRAMMATIC", ["/app"]],
      ["old", "DECLARATIVE", ["/old"]],
      ["sized", "DECLARATIVE", ["/big", "/small"]],
    ]);
    await accepted(api, "old", 1);
    await accepted(api, "both", 1);
    await accepted(api, "foreign", 1);
    await accepted(api, "sized", { n: 9 });
    await accepted(api, "sized", { n: 1 });
    await shop.data(4);
    assert.deepEqual(shop.handed.map(({ path }) => path).sort(), ["/app", "/big", "/old", "/small"]);
  });

  test("consumerID is a template, and apps of one group share their events", async (t) => {
    const home = ownHome(t);
    const component = pubsubComponent("pubsub", "pubsub.local", { consumerID: "{namespace}-group-{podName}" });
    const files = { "c.yaml": component, "s.yaml": subscriptionTo("orders", "/orders") };
    const env = { NAMESPACE: "prod", POD_NAME: "pod-7" };
    const one = await start(t, files, { home, env });
    const overview = (await (await fetch(`${one.api}/outrigger/v1/pubsub`)).json()) as {
      readonly components: readonly { readonly consumerID: string }[];
    };
    assert.equal(overview.components[0]?.consumerID, "prod-group-pod-7");
    const till = await startSubscriber(t);
    const flags = ["--resources-path", one.folder];
    const other = await startBeside(t, "till", till.port, { home, env, flags });
    await Promise.all([subscribed(one.outrigger, "orders"), subscribed(other.outrigger, "orders")]);
    for (let n = 0; n < 20; n++) await accepted(other.api, "orders", n);
    await waitFor("each event once", () => one.shop.handed.length + till.handed.length >= 20);
    const all = [...one.shop.handed, ...till.handed].map(({ event }) => Number(event.data));
    assert.deepEqual(
      all.sort((a, b) => a - b),
      Array.from({ length: 20 }, (_, n) => n),
    );
  });

  test("an app that is unwell gets no events, loses none, and its dead letters can be looked at", async (t) => {
    const flags = ["--enable-app-health-check", "--app-health-check-path", "/healthz"];
    const often = ["--app-health-probe-interval", "1", "--app-health-threshold", "1"];
    const files = { "s.yaml": subscriptionTo("orders", "/orders", "deadLetterTopic: dead") };
    const { api, shop, outrigger } = await start(t, files, { flags: [DEFAULT_PUBSUB, ...flags, ...often] });
    await subscribed(outrigger, "orders");
    await accepted(api, "orders", 1);
    await shop.data(1);
    shop.health = 503;
    await outrigger.waitForOutput(/the app is not healthy/);
    for (const n of [2, 3, 4]) await accepted(api, "orders", n);
    assert.deepEqual(await topicsOf(api), ["orders"]);
    const letters = (await (await fetch(`${api}/outrigger/v1/pubsub/pubsub/dead/events`)).json()) as {
      events: unknown[];
    };
    assert.deepEqual(letters.events, []);
    assert.equal(shop.handed.length, 1);
    shop.health = 200;
    const data = await shop.data(4);
    assert.deepEqual([...data].sort(), [1, 2, 3, 4]);
    assert.equal(shop.asked, 1);
  });

  test("what waits for its turn as an app falls ill is no dead letter, but comes once it is well", async (t) => {
    const flags = ["--enable-app-health-check", "--app-health-check-path", "/healthz", "--app-max-concurrency", "1"];
    const often = ["--app-health-probe-interval", "1", "--app-health-threshold", "1"];
    const files = { "s.yaml": subscriptionTo("orders", "/orders", "deadLetterTopic: dead") };
    const { api, shop, outrigger } = await start(t, files, { flags: [DEFAULT_PUBSUB, ...flags, ...often] });
    await subscribed(outrigger, "orders");
    const open: http.ServerResponse[] = [];
    shop.answer = (_, response) => open.push(response);
    for (const n of [1, 2, 3]) await accepted(api, "orders", n);
    await shop.data(1);
    shop.health = 503;
    await outrigger.waitForOutput(/an event comes again: .*app is not in a healthy state/);
    shop.answer = (_, response) => response.writeHead(200).end();
    open[0]?.writeHead(200).end();
    shop.health = 200;
    await waitFor("all three", () => new Set(shop.handed.map(({ event }) => event.data)).size === 3);
    assert.doesNotMatch(outrigger.output, /dead letter/);
  });

  test("an app that starts late gets what was published before", async (t) => {
    const port = await ownPort();
    const folder = folderWith(t, { "s.yaml": subscriptionTo("orders", "/orders") });
    const home = ownHome(t);
    const args = ["run", "--app-id", "shop", "--app-port", String(port), DEFAULT_PUBSUB, "--resources-path", folder];
    const outrigger = startOutrigger(t, args, { home });
    const api = await outrigger.api("shop");
    await accepted(api, "orders", "early");
    assert.deepEqual(await topicsOf(api), ["orders"]);
    const shop = await startSubscriber(t, undefined, port);
    assert.deepEqual(await shop.data(1), ["early"]);
  });

  test("--app-max-concurrency holds for events too, and none is given up for it", async (t) => {
    const files = { "s.yaml": subscriptionTo("orders", "/orders", "deadLetterTopic: dead") };
    const { api, shop, outrigger } = await start(t, files, { flags: [DEFAULT_PUBSUB, "--app-max-concurrency", "1"] });
    await subscribed(outrigger, "orders");
    let [now, most] = [0, 0];
    shop.answer = (_, response) => {
      most = Math.max(most, ++now);
      setImmediate(() => {
        now--;
        response.writeHead(200).end();
      });
    };
    await Promise.all(Array.from({ length: 40 }, (_, n) => accepted(api, "orders", n)));
    const data = await shop.data(40);
    assert.deepEqual([most, new Set(data).size], [1, 40]);
    assert.doesNotMatch(outrigger.output, /dead letter/);
  });

  test("at SIGTERM the events that the app has are finished, others are left for the next", async (t) => {
    const files = { "s.yaml": subscriptionTo("orders", "/orders") };
    const { api, shop, outrigger, home, folder } = await start(t, files, {
      flags: [DEFAULT_PUBSUB, "--app-max-concurrency", "1", "--dapr-graceful-shutdown-seconds", "20"],
    });
    await subscribed(outrigger, "orders");
    const open: http.ServerResponse[] = [];
    shop.answer = (_, response) => open.push(response);
    for (const n of [1, 2, 3]) await accepted(api, "orders", n);
    const [first] = await shop.data(1);
    outrigger.process.kill("SIGTERM");
    await waitFor("the end to begin", async () => (await topicsOf(api)).length === 0);
    assert.equal(outrigger.hasExited, false);
    shop.answer = (_, response) => response.writeHead(200).end();
    for (const response of open) response.writeHead(200).end();
    assert.equal(await outrigger.exited(), 0);
    const rest = [1, 2, 3].filter((n) => n !== first);
    await startBeside(t, "shop", shop.port, { home, flags: [DEFAULT_PUBSUB, "--resources-path", folder] });
    await waitFor("the rest", () => rest.every((n) => shop.handed.some(({ event }) => event.data === n)));
    assert.equal(shop.handed.filter(({ event }) => event.data === first).length, 1);
  });

  test("an app that never answers holds up no end for longer than the grace, and keeps no event", async (t) => {
    const files = { "s.yaml": subscriptionTo("orders", "/orders") };
    const flags = [DEFAULT_PUBSUB, "--dapr-graceful-shutdown-seconds", "1"];
    const { api, shop, outrigger, home, folder } = await start(t, files, { flags });
    await subscribed(outrigger, "orders");
    shop.answer = () => undefined;
    await accepted(api, "orders", "kept");
    await shop.data(1);
    const startedAt = Date.now();
    assert.equal(await outrigger.stop("SIGTERM"), 0);
    assert.ok(Date.now() - startedAt < 15_000);
    shop.answer = (_, response) => response.writeHead(200).end();
    await startBeside(t, "shop", shop.port, { home, flags: [DEFAULT_PUBSUB, "--resources-path", folder] });
    assert.deepEqual(await shop.data(2), ["kept", "kept"]);
  });

  test("inbound policies: so many tries, a timeout for who never answers, then a dead letter that says why", async (t) => {
    const policies = `apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: {name: r}
spec:
  policies:
    timeouts: {short: 200ms}
    retries: {twice: {policy: constant, duration: 1ms, maxRetries: 2}}
  targets: {components: {pubsub: {inbound: {timeout: short, retry: twice}}}}
---
`;
    const details = 'deadLetterTopic: dead\nmetadata: {deadLetterDetails: "true"}';
    const files = { "r.yaml": policies, "s.yaml": subscriptionTo("orders", "/orders", details) };
    const { api, shop, outrigger, listed } = await start(t, files);
    await subscribed(outrigger, "orders");
    shop.answer = (_, response) => response.writeHead(503).end();
    await accepted(api, "orders", "fails");
    shop.answer = (handed, response) => {
      if (handed.event.data === "fails") response.writeHead(503).end();
    };
    await accepted(api, "orders", "hangs");
    interface Letter {
      readonly id: string;
      readonly deadletterreason: string;
      readonly deadletterattempts: string;
      readonly deadletterstatus?: string;
      readonly deadlettersubscription: string;
      readonly deadlettertopic: string;
    }
    const letters = await waitFor("two dead letters", async () => {
      const answer = await fetch(`${api}/outrigger/v1/pubsub/pubsub/dead/events`);
      const { events } = (await answer.json()) as { events: Letter[] };
      return events.length === 2 && events;
    });
    const said = letters.map((letter) => [letter.deadletterattempts, letter.deadletterstatus, letter.deadlettertopic]);
    assert.deepEqual(said.sort(), [
      ["3", "503", "orders"],
      ["3", "DEADLINE_EXCEEDED", "orders"],
    ]);
    assert.ok(letters.every(({ deadlettersubscription: of }) => of.includes("orders-subscription")));
    const counted = (data: string): number => shop.handed.filter(({ event }) => event.data === data).length;
    assert.deepEqual([counted("fails"), counted("hangs")], [3, 3]);
    for (const { id } of letters) await fetch(`${api}/outrigger/v1/pubsub/pubsub/dead/events/${id}`);
    const metrics = await scrape(listed.metricsPort);
    const labels = { component: "pubsub", topic: "orders" };
    assert.equal(metrics.count("component_pubsub_egress_count", { ...labels, success: "true" }), 2);
    assert.equal(metrics.count("component_pubsub_ingress_count", { ...labels, process_status: "retry" }), 6);
    const paths = metrics.samples("http_server_request_count").map((sample) => sample.labels["path"] ?? "");
    assert.ok(paths.includes("/outrigger/v1/pubsub/{pubsub}/{topic}/events/{id}"));
    assert.ok(paths.every((path) => letters.every(({ id }) => !path.endsWith(id))));
  });

  test("outbound policies: a broker that is away is asked so often and no oftener, and the publisher is told", async (t) => {
    const policies = `apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: {name: r}
spec:
  policies: {retries: {twice: {policy: constant, duration: 1ms, maxRetries: 2}}}
  targets: {components: {redis: {outbound: {retry: twice}}}}
---
`;
    const redis = await startRedis(t);
    const fields = { redisHost: redis.host, redisMaxRetries: "0", dialTimeout: "100ms", writeTimeout: "100ms" };
    const files = { "r.yaml": policies, "c.yaml": pubsubComponent("redis", "pubsub.redis", fields) };
    const { api, listed } = await start(t, files);
    await accepted(api, "orders", 1, "redis");
    await redis.kill();
    const answer = await publish(api, "orders", 2, "redis");
    const { errorCode } = (await answer.json()) as { readonly errorCode: string };
    assert.deepEqual([answer.status, errorCode], [500, "ERR_PUBSUB_PUBLISH_MESSAGE"]);
    const metrics = await scrape(listed.metricsPort);
    const counted = (success: string): number =>
      metrics.count("component_pubsub_egress_count", { component: "redis", topic: "orders", success });
    assert.deepEqual([counted("true"), counted("false")], [1, 1]);
    const found = metrics.samples("resiliency_activations_total", { policy: "retry" });
    assert.deepEqual(
      found.map(({ labels, value }) => [labels["flow_direction"], value]),
      [["outbound", 2]],
    );
  });

  test("a pattern is subscribed to where the component has them, and a warning elsewhere", async (t) => {
    const files = {
      "c.yaml": pubsubComponent("mem", "pubsub.in-memory") + pubsubComponent("disk", "pubsub.local"),
      "s.yaml": subscriptionTo("orders.*", "/any", "", "mem") + subscriptionTo("bills.*", "/bills", "", "disk"),
    };
    const { api, shop, outrigger } = await start(t, files);
    await subscribed(outrigger, "orders.*");
    await accepted(api, "orders.new", "new", "mem");
    await accepted(api, "other", "other", "mem");
    await accepted(api, "orders.old", "old", "mem");
    const data = await shop.data(2);
    assert.deepEqual(data, ["new", "old"]);
    await outrigger.waitForOutput(/bills\.\* of disk .*: pubsub\.local knows no wildcards/);
  });

  test("two sidecars of one process share the store, and their group settings are their own", async (t) => {
    const [shop, mail] = [await startSubscriber(t), await startSubscriber(t)];
    const folder = folderWith(t, { "s.yaml": subscriptionTo("orders", "/orders") });
    const apps = [shop, mail].map(({ port }, at) => ({
      appID: ["shop", "mail"][at],
      appDirPath: ".",
      appPort: port,
      command: [],
      resourcesPath: folder,
    }));
    const file = folderWith(t, { "dapr.yaml": JSON.stringify({ version: 1, apps }) });
    const home = ownHome(t);
    const outrigger = startOutrigger(t, ["run", "-f", join(file, "dapr.yaml")], { home });
    const { api } = await whenReady(outrigger, "shop");
    await whenReady(outrigger, "mail");
    for (let n = 0; n < 10; n++) await accepted(api, "orders", n);
    const both = await Promise.all([shop.data(10), mail.data(10)]);
    for (const data of both)
      assert.deepEqual(
        data.map(Number).sort((a, b) => a - b),
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
      );
    assert.equal((await runToEnd(t, ["stop", "shop"], { home })).code, 0);
    const { api: other } = await whenReady(outrigger, "mail");
    await accepted(other, "orders", 10);
    await mail.data(11);
  });

  test("a subscription over a stream goes on at the component that a reload brings", async (t) => {
    const { api, folder, outrigger, listed } = await start(t, {});
    const client = daprClient(t, `127.0.0.1:${listed.grpcPort}`);
    const begin = client["SubscribeTopicEventsAlpha1"] as () => grpc.ClientDuplexStream<unknown, StreamAnswer>;
    const stream = begin.call(client);
    const data: string[] = [];
    stream.on("error", () => undefined);
    stream.on("data", ({ event_message: event }: StreamAnswer) => {
      if (event === undefined || event === null) return;
      data.push(Buffer.from(event.data).toString());
      stream.write({ event_processed: { id: event.id, status: { status: "SUCCESS" } } });
    });
    const begun = once(stream, "data");
    stream.write({ initial_request: { pubsub_name: "pubsub", topic: "live" } });
    await begun;
    assert.deepEqual(
      (await metadataOf(api)).subscriptions?.map(({ type }) => type),
      ["STREAMING"],
    );
    await accepted(api, "live", "before");
    await waitFor("the first", () => data.includes('"before"'));
    writeFileSync(join(folder, "mem.yaml"), pubsubComponent("pubsub", "pubsub.in-memory"));
    await reload(outrigger, "Component pubsub added");
    await waitFor("the second", async () => {
      await accepted(api, "live", "after");
      return data.includes('"after"');
    });
    stream.cancel();
    await waitFor("the end of it", async () => (await topicsOf(api)).length === 0);
  });

  test("the example works as the README says: an order, a refund that is refused, and that once more", async (t) => {
    const home = ownHome(t);
    const folder = join(ROOT, "examples/pubsub");
    const port = String(await ownPort());
    const flags = ["--app-id", "shop", "--app-port", port, DEFAULT_PUBSUB, "--resources-path", "resources"];
    const outrigger = startOutrigger(t, ["run", ...flags, "--", process.execPath, "shop.mjs"], { home, cwd: folder });
    const { api } = await whenReady(outrigger, "shop");
    await accepted(api, "orders", { orderId: 7 });
    await outrigger.waitForOutput(/\/orders took \{"orderId":7\}/);
    const publishArgs = ["publish", "--publish-app-id", "shop", "--topic", "refunds"];
    assert.equal((await runToEnd(t, [...publishArgs, "--data", '{"amount": -5}'], { home })).code, 0);
    await outrigger.waitForOutput(/\/refunds refused \{"amount":-5\}/);
    const list = await waitFor("the dead letter", async () => {
      const { stdout } = await runToEnd(t, ["dlq", "list", "--topic", "refunds-failed"], { home });
      return stdout.includes("500") && stdout;
    });
    assert.match(list, /refunds/);
    const replayed = await runToEnd(t, ["dlq", "replay", "--topic", "refunds-failed", "--all"], { home });
    assert.deepEqual([replayed.code, replayed.stdout], [0, "1 replayed, 0 failed\n"], replayed.stderr);
    const tried = await runToEnd(t, [...publishArgs, "--data", '{"amount": 5}', "--dry-run"], { home });
    assert.match(tried.stdout, /● .*refunds-subscription.* → \/refunds$/m);
  });

  test("the end of a sidecar with streams and subscriptions is quick where nothing is under way", async (t) => {
    const { outrigger } = await start(t, { "s.yaml": subscriptionTo("orders", "/orders") });
    await subscribed(outrigger, "orders");
    outrigger.process.kill("SIGTERM");
    assert.equal((await ended(outrigger)).code, 0);
    assert.doesNotMatch(outrigger.output, /did not (?:end|close) in order|has not closed/);
  });
});

interface StreamAnswer {
  readonly event_message?: { readonly id: string; readonly data: Uint8Array } | null;
}
