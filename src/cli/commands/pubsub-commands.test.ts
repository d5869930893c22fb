import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, type TestContext, test } from "node:test";
import { CapturedTerminal } from "../../../test/support/captured-terminal.ts";
import { BrowsedTopics, componentWith, PublishedAgain, subscriptionTo } from "../../../test/support/dead-letters.ts";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { freshHome } from "../../../test/support/outrigger.ts";
import { registerApi, serveOutriggerApi } from "../../../test/support/outrigger-api.ts";
import { OutriggerError } from "../../core/errors.ts";
import { headerValue } from "../../core/raw-headers.ts";
import { CloudEvent } from "../../pubsub/cloud-event.ts";
import type { ActiveSubscription, SubscriptionTrial } from "../../pubsub/subscriptions.ts";
import { answer } from "../../transport/http/answer.ts";
import { answerPlainError } from "../../transport/http/error-answer.ts";
import { wholeBody } from "../../transport/whole-body.ts";
import { CliError } from "../cli-error.ts";
import type { CommandContext } from "../prepare-app.ts";
import { type DlqListOptions, listDeadLetters } from "./dlq-list.ts";
import { showDeadLetter } from "./dlq-show.ts";
import { type DlqReplayOptions, removeDeadLetters, replayDeadLetters } from "./dlq-work.ts";
import { type PublishOptions, publish } from "./publish.ts";

/** `outrigger publish` and `outrigger dlq`, against the routes that they ask, in a home where apps seem to run. */

interface Published {
  readonly path: string;
  readonly query: string | undefined;
  readonly contentType: string | undefined;
  readonly token: string | undefined;
  readonly data: string;
}

/** An app whose sidecar answers, with what it holds and was told. */
class FakeApp extends PublishedAgain {
  readonly topics = new BrowsedTopics();
  readonly pubsubs = new Map([["pubsub", componentWith("pubsub", this.topics)]]);
  readonly active: ActiveSubscription[] = [];
  readonly trials: SubscriptionTrial[] = [];
  readonly published: Published[] = [];
  /** Asked for where it is set. */
  token: string | undefined;

  envelopeFor(): CloudEvent {
    return new CloudEvent(new Map(Object.entries({ data: "1.10", id: '"e1"', type: '"order"' })));
  }

  /** @returns the port of its API. */
  async serve(t: TestContext): Promise<number> {
    const { pubsubs, active, trials, token } = this;
    const subscriptions = { active, try: () => Promise.resolve(trials) };
    const api = { rules: { pubsubs }, subscriptions, publisher: this, clock: new ManualClock(), maxBodyBytes: 65_536 };
    const url = await serveOutriggerApi(t, api, async ({ exchange, headers, path, query }) => {
      const sent = headerValue(headers, "dapr-api-token");
      if (token !== undefined && sent !== token) {
        answerPlainError(exchange, 401, "invalid api token", []);
        return true;
      }
      if (!path.startsWith("/v1.0/publish/")) return false;
      const body = await wholeBody(await exchange.readBody(), 65_536, exchange.signal);
      const contentType = headerValue(headers, "content-type");
      this.published.push({ path, query, contentType, token: sent, data: Buffer.from(body).toString() });
      if (path.endsWith("/closed"))
        throw new OutriggerError("notDeadLetters", "topic closed is not allowed for app id shop");
      answer(exchange, 204, undefined);
      return true;
    });
    return Number(new URL(url).port);
  }
}

interface Scene {
  readonly app: FakeApp;
  readonly home: string;
  readonly context: CommandContext;
  readonly out: CapturedTerminal;
  readonly err: CapturedTerminal;
}

/** @param columns of the terminal; undefined for pipes. */
function sceneIn(home: string, columns?: number, env: NodeJS.ProcessEnv = {}): Omit<Scene, "app"> {
  const [out, err] = [new CapturedTerminal(columns), new CapturedTerminal(columns)];
  const context = { env: { OUTRIGGER_HOME: home, ...env }, out: out.terminal, err: err.terminal, main: "" };
  return { home, context, out, err };
}

async function scene(t: TestContext, columns?: number, change?: (app: FakeApp) => void): Promise<Scene> {
  const app = new FakeApp();
  change?.(app);
  const home = freshHome(t);
  await registerApi(home, "shop", await app.serve(t));
  return { app, ...sceneIn(home, columns) };
}

async function refusal(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(() => undefined).catch((thrown: unknown) => thrown);
  assert.ok(error instanceof CliError, String(error));
  assert.ok(!error.message.includes("\n"), error.message);
  return error.message;
}

const PUBLISH = { publishAppId: "shop", pubsub: "pubsub", topic: "orders", dryRun: false, json: false };

function publishing(
  context: CommandContext,
  more: Partial<PublishOptions>,
  input = Readable.from([]),
): Promise<number> {
  return publish({ ...PUBLISH, ...more }, context, input);
}

describe("outrigger publish", () => {
  const TYPES: [data: string, contentType: string][] = [
    ['{"orderId": 7}', "application/json"],
    ["7", "application/json"],
    ["not JSON", "text/plain"],
    ["", "text/plain"],
    ['{"id":"1","source":"s","specversion":"1.0","type":"t","data":1}', "application/cloudevents+json"],
    ['{"id":"1","source":"s","type":"t","data":1}', "application/json"],
  ];

  for (const [data, contentType] of TYPES) {
    test(`the data "${data}" goes out as it is, as ${contentType}`, async (t) => {
      const { app, context, out, err } = await scene(t);
      assert.equal(await publishing(context, { data }), 0);
      const path = "/v1.0/publish/pubsub/orders";
      assert.deepEqual(app.published, [{ path, query: undefined, contentType, token: undefined, data }]);
      assert.deepEqual([out.text, err.text], ["Event published successfully\n", ""]);
    });
  }

  test("topic, metadata, type and token arrive, however they are spelled", async (t) => {
    const { app, home } = await scene(t, undefined, (fake) => {
      fake.token = "secret";
    });
    const { context } = sceneIn(home, undefined, { DAPR_API_TOKEN: "secret" });
    const metadata = '{"ttlInSeconds": 60, "a&b": "c d", "rawPayload": true}';
    await publishing(context, { topic: "a/ü", data: "1", contentType: "text/x", metadata });
    const query = "metadata.ttlInSeconds=60&metadata.a%26b=c%20d&metadata.rawPayload=true";
    const path = "/v1.0/publish/pubsub/a%2F%C3%BC";
    assert.deepEqual(app.published, [{ path, query, contentType: "text/x", token: "secret", data: "1" }]);
    const without = await refusal(publishing(sceneIn(home).context, { data: "1" }));
    assert.match(without, /the sidecar of shop wants its API token; set DAPR_API_TOKEN/);
  });

  test("the data may come from a file, or from standard input", async (t) => {
    const { app, context, home } = await scene(t);
    const file = join(home, "order.json");
    writeFileSync(file, '{"n":1}');
    await publishing(context, { dataFile: file });
    await publishing(context, { dataFile: "-" }, Readable.from([Buffer.from("piped")]));
    writeFileSync(file, Buffer.from([0xff, 0xfe]));
    await publishing(context, { dataFile: file });
    const got = app.published.map(({ data, contentType }) => [data, contentType]);
    const binary = [Buffer.from([0xff, 0xfe]).toString(), "application/octet-stream"];
    assert.deepEqual(got, [['{"n":1}', "application/json"], ["piped", "text/plain"], binary]);
    assert.match(
      await refusal(publishing(context, { dataFile: join(home, "no.json") })),
      /cannot read --data-file: ENOENT/,
    );
    assert.match(await refusal(publishing(context, { dataFile: file, data: "x" })), /--data or --data-file, not both/);
  });

  test("the component may be left out where there is one, and only there", async (t) => {
    const { app, context, out } = await scene(t);
    const { publishAppId, topic, dryRun } = PUBLISH;
    const options = { publishAppId, topic, dryRun, json: true };
    await publish(options, context);
    assert.deepEqual(JSON.parse(out.text), { published: true, appId: "shop", pubsub: "pubsub", topic: "orders" });
    app.pubsubs.set("other", componentWith("other", undefined));
    assert.match(await refusal(publish(options, context)), /--pubsub; shop has: pubsub, other$/);
    app.pubsubs.clear();
    assert.match(await refusal(publish(options, context)), /shop has no pub\/sub component; add one/);
  });

  test("an app that does not run, and one that is not named, are told with those that run", async (t) => {
    const { context } = await scene(t);
    assert.match(
      await refusal(publishing(context, { publishAppId: "shpo" })),
      /did you mean "shop"\? running are: shop$/,
    );
    const { pubsub, topic, dryRun, json } = PUBLISH;
    assert.match(
      await refusal(publish({ pubsub, topic, dryRun, json }, context)),
      /with --publish-app-id; running are: shop$/,
    );
    assert.match(await refusal(publishing(context, { appId: "other" })), /two names of one flag/);
  });

  test("what the sidecar refuses is told in its words", async (t) => {
    const { context } = await scene(t);
    const why = await refusal(publishing(context, { topic: "closed" }));
    assert.equal(why, "topic closed is not allowed for app id shop (ERR_PUBSUB_FORBIDDEN)");
  });

  for (const metadata of ["{", "[]", "1", '{"a":{}}', '{"a":null}']) {
    test(`the metadata ${metadata} is refused with an example`, async (t) => {
      const { context, app } = await scene(t);
      assert.match(await refusal(publishing(context, { metadata })), /--metadata .*; give /);
      assert.deepEqual(app.published, []);
    });
  }

  test("a socket that is named is asked without a look into the registry", async (t) => {
    const { context } = sceneIn(freshHome(t));
    const why = await refusal(publishing(context, { unixDomainSocket: "/nowhere" }));
    assert.match(why, /cannot reach the sidecar of shop at unix:\/\/\/nowhere\/dapr-shop-http\.socket/);
  });
});

const TRIALS: SubscriptionTrial[] = [
  {
    ...subscriptionTo("orders", "dead"),
    rules: [
      { match: "event.data.n > 5", path: "/big", value: "false", error: undefined },
      { match: 'event.type == "order"', path: "/order", value: "true", error: undefined },
      { match: "true", path: "/later", value: "true", error: undefined },
    ],
    path: "/order",
    why: undefined,
  },
  {
    ...subscriptionTo("orders", "dead"),
    rules: [{ match: "event.data.x", path: "/x", value: undefined, error: "no such key: x" }],
    path: undefined,
    why: "rule 1 fails: no such key: x",
  },
];

describe("outrigger publish --dry-run", () => {
  test("each subscription is shown, with its rules, their values and the one that has the event", async (t) => {
    const { app, context, out } = await scene(t, undefined, (fake) => fake.trials.push(...TRIALS));
    assert.equal(await publishing(context, { dryRun: true, data: "1" }), 0);
    assert.deepEqual(app.published, []);
    assert.equal(
      out.text,
      [
        "Nothing was published. The event of type order (id e1) on orders of pubsub would go to:",
        "",
        "  ● orders of pubsub (declarative, orders) → /order",
        "    1  event.data.n > 5       /big    false",
        '    2  event.type == "order"  /order  true, and the first',
        "    3  true                   /later  true",
        "",
        "  ○ orders of pubsub (declarative, orders): rule 1 fails: no such key: x; dead letters go to dead",
        "    1  event.data.x  /x  error: no such key: x",
        "",
      ].join("\n"),
    );
  });

  test("a terminal gets colours", async (t) => {
    const { context, out } = await scene(t, 100, (fake) => fake.trials.push(...TRIALS));
    await publishing(context, { dryRun: true, data: "1" });
    assert.match(out.text, /\x1b\[32m●\x1b\[0m/);
    assert.match(out.text, /\x1b\[31merror: no such key: x\x1b\[0m/);
  });

  test("where nobody gets it, it says what the app is subscribed to", async (t) => {
    const { app, context, out } = await scene(t);
    await publishing(context, { dryRun: true, data: "1" });
    assert.match(out.text, /○ nobody here: shop is subscribed to nothing$/m);
    app.active.push(subscriptionTo("bills"));
    await publishing(context, { dryRun: true, data: "1" });
    assert.match(out.text, /○ nobody here: shop is not subscribed to orders; it is to: bills of pubsub$/m);
  });

  test("--json is what the sidecar says, numbers included", async (t) => {
    const { context, out } = await scene(t, undefined, (fake) => fake.trials.push(...TRIALS));
    await publishing(context, { dryRun: true, json: true, data: "1" });
    assert.match(out.text, /"data":1\.10/);
    assert.equal((JSON.parse(out.text) as { subscriptions: unknown[] }).subscriptions.length, 2);
  });
});

const LETTER = {
  ...{ specversion: "1.0", id: "e1", type: "order", source: "web", topic: "orders", data: { text: "\u001b[2J" } },
  ...{ deadletterreason: "the app answered 500", deadletterattempts: 3, deadletterstatus: "500" },
  deadlettersubscription: "orders of pubsub",
};

function withLetters(app: FakeApp, ids: readonly string[] = ["1", "2", "3"]): void {
  app.active.push(subscriptionTo("orders", "dead"));
  for (const id of ids) {
    app.topics.add("dead", id, LETTER, { publishedAtMs: Date.now() - 120_000, contentType: "application/json" });
  }
}

const LIST: DlqListOptions = { limit: "100", json: false };

describe("outrigger dlq list", () => {
  test("the dead letter topics of all apps are shown, with what lies there", async (t) => {
    const { home, context, out, err } = await scene(t, undefined, withLetters);
    const other = new FakeApp();
    other.active.push(subscriptionTo("news", "lost", "memory"));
    other.pubsubs.set("memory", componentWith("memory", undefined));
    await registerApi(home, "zoo", await other.serve(t));
    assert.equal(await listDeadLetters(LIST, context), 0);
    assert.equal(
      out.text,
      [
        "APP ID  PUBSUB  TOPIC  EVENTS  OLDEST  DEAD LETTERS OF",
        "shop    pubsub  dead   3       2m      orders",
        "zoo     memory  lost   ?       -       news",
        "",
      ].join("\n"),
    );
    assert.match(err.text, /^lost: pubsub memory is pubsub\.in-memory, which does not show/);
  });

  test("with a topic its events are shown, and why each is there", async (t) => {
    const { context, out } = await scene(t, undefined, withLetters);
    await listDeadLetters({ ...LIST, topic: "dead", limit: "1" }, context);
    const size = `${JSON.stringify(LETTER).length} B`;
    assert.equal(
      out.text,
      [
        "ID  AGE  SIZE   TYPE   SOURCE  FROM    ATTEMPTS  STATUS  REASON",
        `1   2m   ${size}  order  web     orders  3         500     the app answered 500`,
        "",
      ].join("\n"),
    );
  });

  test("at a terminal a row is a line, coloured, and what came from outside is not obeyed", async (t) => {
    const { context, out, err } = await scene(t, 60, (app) => {
      app.active.push(subscriptionTo("orders", "dead"));
      app.topics.add("dead", "1", { ...LETTER, type: "\u001b[2J" });
    });
    await listDeadLetters({ ...LIST, topic: "dead" }, context);
    assert.ok(out.text.startsWith("\x1b[90mID"), out.text);
    assert.ok(!out.text.includes("\u001b[2J") && out.text.includes("\\x1b[2J"), out.text);
    assert.equal(out.text.trimEnd().split("\n").length, 2);
    assert.equal(err.text, "");
  });

  test("at a terminal it says how to learn why, where nothing says it", async (t) => {
    const { context, err } = await scene(t, 100, (app) => {
      app.active.push(subscriptionTo("orders", "dead"));
      app.topics.add("dead", "1", "raw");
    });
    await listDeadLetters({ ...LIST, topic: "dead" }, context);
    assert.match(err.text, /deadLetterDetails: "true"/);
  });

  test("--json has all that is known", async (t) => {
    const { context, out } = await scene(t, undefined, withLetters);
    await listDeadLetters({ ...LIST, json: true }, context);
    const [topic] = JSON.parse(out.text) as Record<string, unknown>[];
    assert.deepEqual([topic?.["appId"], topic?.["topic"], topic?.["count"]], ["shop", "dead", 3]);
    out.text = "";
    await listDeadLetters({ ...LIST, topic: "dead", json: true }, context);
    assert.equal((JSON.parse(out.text) as unknown[]).length, 3);
  });

  test("nothing to show is said, with how to come to something", async (t) => {
    const { app, context, out } = await scene(t);
    await listDeadLetters(LIST, context);
    assert.equal(out.text, "No dead letter topics: deadLetterTopic in a subscription gives it one.\n");
    withLetters(app, []);
    out.text = "";
    await listDeadLetters({ ...LIST, topic: "dead" }, context);
    assert.equal(out.text, "Nothing lies in dead of pubsub.\n");
    const empty = sceneIn(freshHome(t));
    await listDeadLetters(LIST, empty.context);
    assert.match(empty.out.text, /^No apps are running\. Start one: outrigger run/);
  });

  test("a topic of several apps, or of none, asks for the app", async (t) => {
    const { home, context } = await scene(t, undefined, withLetters);
    const other = new FakeApp();
    withLetters(other);
    await registerApi(home, "zoo", await other.serve(t));
    assert.match(await refusal(listDeadLetters({ ...LIST, topic: "dead" }, context)), /--app-id: shop, zoo$/);
    assert.match(await refusal(listDeadLetters({ ...LIST, topic: "other" }, context)), /name an app with --app-id$/);
  });

  test("a sidecar that does not answer keeps no other from being shown, and fails the command", async (t) => {
    const { home, context, out, err } = await scene(t, undefined, withLetters);
    await registerApi(home, "gone", 1);
    assert.equal(await listDeadLetters(LIST, context), 1);
    assert.match(out.text, /^shop/m);
    assert.match(err.text, /^outrigger: cannot reach the sidecar of gone at http:\/\/127\.0\.0\.1:1/);
  });

  test("a limit that is no number is refused", async (t) => {
    const { context } = await scene(t, undefined, withLetters);
    assert.match(await refusal(listDeadLetters({ ...LIST, topic: "dead", limit: "x" }, context)), /--limit is "x"/);
  });
});

describe("outrigger dlq show", () => {
  test("all of an event is shown, its data as it is", async (t) => {
    const { context, out } = await scene(t, undefined, withLetters);
    assert.equal(await showDeadLetter("2", { json: false }, context), 0);
    assert.match(
      out.text,
      /^id {12}2\nlies in {7}dead of pubsub, since \d{4}-\d\d-\d\d .* \(2m\)\ncomes from {4}orders\n/,
    );
    assert.match(out.text, /^reason {8}the app answered 500\nlast status {3}500\nattempts {6}3\n/m);
    assert.ok(out.text.endsWith(`\n\n${JSON.stringify(LETTER)}\n`), out.text);
  });

  test("at a terminal nothing of the data is obeyed", async (t) => {
    const { context, out } = await scene(t, 100, (app) => {
      app.active.push(subscriptionTo("orders", "dead"));
      app.topics.add("dead", "1", "one\u001b[2J\n\ttwo");
    });
    await showDeadLetter("1", { json: false }, context);
    assert.ok(out.text.endsWith("one\\x1b[2J\n\ttwo\n"), JSON.stringify(out.text));
  });

  test("an event that is not there is told, and one of several topics asks for the topic", async (t) => {
    const { context, app } = await scene(t, undefined, withLetters);
    assert.match(await refusal(showDeadLetter("9", { json: false }, context)), /has no event 9/);
    app.active.push(subscriptionTo("bills", "lost"));
    app.topics.add("lost", "2", LETTER);
    assert.match(await refusal(showDeadLetter("9", { json: false }, context)), /no dead letter 9 in dead, lost/);
    assert.match(
      await refusal(showDeadLetter("2", { json: false }, context)),
      /--topic and --pubsub: dead of pubsub, lost/,
    );
    assert.equal(await showDeadLetter("2", { json: true, topic: "lost" }, context), 0);
  });
});

const WORK: DlqReplayOptions = { all: false, json: false };

describe("outrigger dlq replay and remove", () => {
  test("events are published again where they come from, in the order they are named, and are gone", async (t) => {
    const { app, context, out, err } = await scene(t, undefined, withLetters);
    assert.equal(await replayDeadLetters(["3", "1", "3"], WORK, context), 0);
    assert.deepEqual([out.text, err.text], ["2 replayed, 0 failed\n", ""]);
    assert.deepEqual(
      app.events.map(({ target }) => target.topic),
      ["orders", "orders"],
    );
    assert.deepEqual(app.topics.ids("dead"), ["2"]);
  });

  test("--all replays what lies there now, page after page, and nothing that comes back meanwhile", async (t) => {
    const ids = Array.from({ length: 1001 }, (_, n) => String(n));
    const { app, context, out } = await scene(t, undefined, (fake) => {
      withLetters(fake, ids);
      const publishAsIs = fake.publishAsIs.bind(fake);
      fake.publishAsIs = (target, event) => {
        // It fails once more at the app.
        fake.topics.add("dead", `again-${fake.events.length}`, LETTER);
        return publishAsIs(target, event);
      };
    });
    assert.equal(await replayDeadLetters([], { ...WORK, all: true }, context), 0);
    assert.equal(out.text, "1001 replayed, 0 failed\n");
    assert.equal(app.topics.ids("dead").length, 1001);
    assert.ok(app.topics.ids("dead").every((id) => id.startsWith("again-")));
  });

  test("one that fails keeps no other from it, is told with its id, and fails the command", async (t) => {
    const { context, out, err } = await scene(t, undefined, withLetters);
    assert.equal(await replayDeadLetters(["1", "9", "2"], WORK, context), 1);
    assert.equal(out.text, "2 replayed, 1 failed\n");
    assert.match(err.text, /^outrigger: 9: topic dead of pubsub pubsub has no event 9.*\n$/);
  });

  test("--json says what became of each", async (t) => {
    const { context, out, err } = await scene(t, undefined, withLetters);
    assert.equal(await replayDeadLetters(["1", "9"], { ...WORK, json: true, to: "bills" }, context), 1);
    const { replayed, failed } = JSON.parse(out.text) as { replayed: unknown; failed: { id: string; error: string }[] };
    assert.deepEqual(replayed, [{ id: "1", topic: "bills" }]);
    assert.deepEqual(
      failed.map(({ id }) => id),
      ["9"],
    );
    assert.equal(err.text, "");
  });

  test("remove removes, and --all of one topic only", async (t) => {
    const { app, context, out } = await scene(t, undefined, (fake) => {
      withLetters(fake);
      fake.active.push(subscriptionTo("bills", "lost"));
    });
    assert.equal(await removeDeadLetters(["2"], WORK, context), 0);
    assert.match(await refusal(removeDeadLetters([], { ...WORK, all: true }, context)), /say which with --topic/);
    assert.equal(await removeDeadLetters([], { ...WORK, all: true, topic: "dead" }, context), 0);
    assert.equal(out.text, "1 removed, 0 failed\n2 removed, 0 failed\n");
    assert.deepEqual([app.topics.ids("dead"), app.events], [[], []]);
  });

  test("nothing named, and both ways at once, are refused", async (t) => {
    const { context } = await scene(t, undefined, withLetters);
    assert.match(
      await refusal(replayDeadLetters([], WORK, context)),
      /say what to replay: give ids of events, or --all/,
    );
    assert.match(await refusal(removeDeadLetters(["1"], { ...WORK, all: true }, context)), /not both/);
  });

  test("where no app runs, and where none has dead letters, it says so", async (t) => {
    const empty = sceneIn(freshHome(t));
    assert.match(await refusal(replayDeadLetters(["1"], WORK, empty.context)), /no app is running/);
    const { context } = await scene(t);
    assert.match(
      await refusal(replayDeadLetters(["1"], WORK, context)),
      /has a dead letter topic; deadLetterTopic in a sub/,
    );
  });

  test("a topic that no subscription names any more is reached through an app that is named", async (t) => {
    const { app, context } = await scene(t);
    app.topics.add("former", "1", LETTER);
    assert.equal(await replayDeadLetters(["1"], { ...WORK, appId: "shop", topic: "former" }, context), 0);
    assert.deepEqual(app.topics.ids("former"), []);
  });
});
