import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { describe, test } from "node:test";
import type { TestScope } from "../support/cleanup.ts";
import { DEFAULT_PUBSUB } from "../support/outrigger.ts";
import { folderWith, ownHome, type RunningApp, runToEnd, startBeside } from "../support/processes.ts";
import { waitFor } from "../support/wait.ts";

/** `outrigger publish` and `outrigger dlq`, with the component that is there without any: from a failing app to replay. */

/** An app that keeps what it takes, and fails as long as it is told to. */
interface Shop {
  readonly port: number;
  /** Of the orders that were taken: the event's id and its data. */
  readonly taken: { readonly id: string; readonly data: unknown }[];
  status: number;
}

async function startShop(t: TestScope): Promise<Shop> {
  const shop = { taken: [] as Shop["taken"], status: 500, port: 0 };
  const server = http.createServer((request, response) => {
    void (async () => {
      const body = await text(request);
      if (request.url === "/dapr/subscribe") response.writeHead(404).end();
      else {
        if (shop.status === 200) shop.taken.push(JSON.parse(body) as Shop["taken"][number]);
        response.writeHead(shop.status).end();
      }
    })();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  shop.port = (server.address() as AddressInfo).port;
  return shop;
}

const SUBSCRIPTION = `apiVersion: dapr.io/v2alpha1
kind: Subscription
metadata: {name: orders-subscription}
spec:
  pubsubname: pubsub
  topic: orders
  routes:
    rules:
      - {match: 'event.data.n > 5', path: /big}
      - {match: 'event.data.missing.x', path: /never}
    default: /orders
  deadLetterTopic: orders-dead
  metadata: {deadLetterDetails: "true"}
`;

interface Scene extends RunningApp {
  readonly shop: Shop;
  readonly home: string;
  readonly run: (...args: string[]) => ReturnType<typeof runToEnd>;
}

async function scene(t: TestScope): Promise<Scene> {
  const home = ownHome(t);
  const shop = await startShop(t);
  const folder = folderWith(t, { "orders.yaml": SUBSCRIPTION });
  const app = await startBeside(t, "shop", shop.port, { home, flags: [DEFAULT_PUBSUB, "--resources-path", folder] });
  await waitFor("the subscription", async () => {
    const overview = (await (await fetch(`${app.api}/outrigger/v1/pubsub`)).json()) as { subscriptions: unknown[] };
    return overview.subscriptions.length === 1;
  });
  return { ...app, shop, home, run: (...args) => runToEnd(t, args, { home }) };
}

interface Listed {
  readonly id: string;
  readonly originalTopic: string;
  readonly deadletterreason: string;
  readonly deadletterattempts: string;
}

async function deadLetters({ run }: Scene, count: number): Promise<Listed[]> {
  return waitFor(`${count} dead letters`, async () => {
    const { stdout } = await run("dlq", "list", "--topic", "orders-dead", "--json");
    const listed = JSON.parse(stdout) as Listed[];
    return listed.length === count ? listed : undefined;
  });
}

describe("events from the command line", { concurrency: 2, timeout: 240_000 }, () => {
  test("what an app fails is listed with its reason, shown, and delivered once it is replayed", async (t) => {
    const here = await scene(t);
    const { shop, run } = here;
    for (const n of [10, 9]) {
      const published = await run("publish", "-i", "shop", "-t", "orders", "-d", `{"n": ${n}}`);
      assert.deepEqual([published.code, published.stdout], [0, "Event published successfully\n"], published.stderr);
    }
    const [first, second] = await deadLetters(here, 2);
    assert.ok(first !== undefined && second !== undefined);
    assert.equal(first.originalTopic, "orders");
    assert.match(first.deadletterattempts, /^\d+$/);
    assert.match(first.deadletterreason, /500/);
    const topics = await run("dlq", "list");
    assert.match(topics.stdout, /^shop +pubsub +orders-dead +2 +\d+s +orders$/m);
    const shown = await run("dlq", "show", first.id);
    assert.match(shown.stdout, /^comes from +orders$/m);
    assert.match(shown.stdout, /"n": ?10/);

    shop.status = 200;
    const replayed = await run("dlq", "replay", "--all", "--topic", "orders-dead");
    assert.deepEqual([replayed.code, replayed.stdout], [0, "2 replayed, 0 failed\n"], replayed.stderr);
    await waitFor("both orders", () => shop.taken.length === 2);
    assert.deepEqual(new Set(shop.taken.map(({ data }) => (data as { n: number }).n)), new Set([10, 9]));
    assert.ok(shop.taken.every((event) => Object.keys(event).every((name) => !name.startsWith("deadletter"))));
    await deadLetters(here, 0);
    const again = await run("dlq", "replay", first.id);
    assert.deepEqual([again.code, again.stdout], [1, "0 replayed, 1 failed\n"]);
    assert.match(again.stderr, new RegExp(`^outrigger: ${first.id}: topic orders-dead of pubsub pubsub has no event`));
  });

  test("a removed event is gone and was never delivered", async (t) => {
    const here = await scene(t);
    await here.run("publish", "-i", "shop", "-t", "orders", "-d", '{"n": 7}');
    const [letter] = await deadLetters(here, 1);
    const removed = await here.run("dlq", "remove", letter?.id ?? "");
    assert.deepEqual([removed.code, removed.stdout], [0, "1 removed, 0 failed\n"], removed.stderr);
    await deadLetters(here, 0);
    assert.deepEqual(here.shop.taken, []);
  });

  test("a dry run says which rule has the event and what each came to, and publishes nothing", async (t) => {
    const here = await scene(t);
    here.shop.status = 200;
    const { stdout, code } = await here.run("publish", "-i", "shop", "-t", "orders", "-d", '{"n": 6}', "--dry-run");
    assert.equal(code, 0);
    assert.match(stdout, /^Nothing was published\./);
    assert.match(stdout, /● .*orders-subscription.* → \/big$/m);
    assert.match(stdout, /1 {2}event\.data\.n > 5 +\/big +true, and the first$/m);
    assert.match(stdout, /2 {2}event\.data\.missing\.x +\/never +error: /m);
    const broken = await here.run("publish", "-i", "shop", "-t", "orders", "-d", '{"n": 1}', "--dry-run");
    assert.match(broken.stdout, /○ .*orders-subscription/);
    const elsewhere = await here.run("publish", "-i", "shop", "-t", "bills", "-d", "1", "--dry-run");
    assert.match(elsewhere.stdout, /shop is not subscribed to bills; it is to: orders of pubsub$/m);
    // What is published behind them is the first that the app gets.
    await here.run("publish", "-i", "shop", "-t", "orders", "-d", '{"n": 9}');
    await waitFor("the order", () => here.shop.taken.length > 0);
    assert.deepEqual(
      here.shop.taken.map(({ data }) => data),
      [{ n: 9 }],
    );
  });

  test("the routes want the API token, and a publish says how to give it", async (t) => {
    const home = ownHome(t);
    const env = { DAPR_API_TOKEN: "secret" };
    const { api } = await startBeside(t, "guarded", undefined, { home, env, flags: [DEFAULT_PUBSUB] });
    for (const path of ["pubsub", "dead-letters"]) {
      assert.equal((await fetch(`${api}/outrigger/v1/${path}`)).status, 401);
      const headers = { "dapr-api-token": "secret" };
      assert.equal((await fetch(`${api}/outrigger/v1/${path}`, { headers })).status, 200);
    }
    const refused = await runToEnd(t, ["publish", "-i", "guarded", "-t", "orders"], { home });
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /wants its API token; set DAPR_API_TOKEN/);
    const allowed = await runToEnd(t, ["publish", "-i", "guarded", "-t", "orders"], { home, env });
    assert.equal(allowed.code, 0, allowed.stderr);
  });

  test("what is no route of the prefix is an invocation, as everywhere", async (t) => {
    const { api } = await startBeside(t, "plain", undefined, { home: ownHome(t) });
    for (const path of ["/outrigger/v1/other", "/outrigger/v2/pubsub", "/outrigger"]) {
      const response = await fetch(api + path);
      assert.equal(response.status, 404);
      assert.match(await response.text(), /"errorCode":"ERR_DIRECT_INVOKE"/);
    }
  });

  const MISTAKES: [args: string[], says: RegExp][] = [
    [["publish", "-i", "x"], /--topic/],
    [["publish", "-t", "x"], /say as which app to publish, with --publish-app-id/],
    [["publish", "-i", "x", "-t", "y", "--dry-rnu"], /--dry-run/],
    [["dlq", "lst"], /\blist\b/],
    [["dlq", "show"], /'id'/],
    [["dlq", "replay"], /say what to replay: give ids of events, or --all/],
  ];

  for (const [args, says] of MISTAKES) {
    test(`"outrigger ${args.join(" ")}" is refused in one line that says what to do`, async (t) => {
      const { code, stdout, stderr } = await runToEnd(t, args, { home: ownHome(t) });
      assert.notEqual(code, 0);
      assert.deepEqual([stdout, stderr.trimEnd().split("\n").length], ["", 1], stderr);
      assert.match(stderr, says);
    });
  }
});
