import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { type TestContext, test } from "node:test";
import type {
  BrokerSubscription,
  IncomingEvent,
  PubSub,
  SubscribeOptions,
  Verdict,
} from "../../src/components/contract/pubsub.ts";
import { redisManifest } from "../../src/components/pubsub/redis/manifest.ts";
import { makeAuthority } from "../support/certificates.ts";
import { metadataWith } from "../support/component-metadata.ts";
import { LONG } from "../support/long.ts";
import { pubSubContext, type RecordingLog } from "../support/pubsub-context.ts";
import { anEvent, Gate, textOf } from "../support/pubsub-world.ts";
import { startRedis } from "../support/redis-server.ts";
import { waitFor } from "../support/wait.ts";

type Fields = Readonly<Record<string, string>>;

const SOON = { processingTimeout: "600ms", redeliverInterval: "200ms" };
const SECRET = "s3cret-KeFg23!";

async function brokerWith(t: TestContext, fields: Fields): Promise<{ broker: PubSub; log: RecordingLog }> {
  const context = pubSubContext(t);
  const broker = redisManifest.create(context);
  t.after(() => broker.close());
  await broker.init(await metadataWith(fields));
  return { broker, log: context.log };
}

interface Consumer {
  readonly events: IncomingEvent[];
  readonly texts: () => string[];
}

async function consume(
  broker: PubSub,
  topic: string,
  { answer = () => "done", ...given }: Partial<SubscribeOptions> & { answer?: (event: IncomingEvent) => Verdict } = {},
): Promise<Consumer> {
  const events: IncomingEvent[] = [];
  const handle: SubscribeOptions["handle"] = (batch) => {
    events.push(...batch);
    return Promise.resolve(batch.map(answer));
  };
  await subscribeTo(broker, topic, { handle, ...given });
  return { events, texts: () => events.map(textOf) };
}

function subscribeTo(
  broker: PubSub,
  topic: string,
  given: Partial<SubscribeOptions> = {},
): Promise<BrokerSubscription> {
  const handle: SubscribeOptions["handle"] = (events) => Promise.resolve(events.map(() => "done"));
  const plain = { group: "shop", metadata: new Map(), batch: undefined, keyOf: undefined, handle };
  return broker.subscribe({ topic, ...plain, ...given });
}

async function whyNot(t: TestContext, fields: Fields): Promise<string> {
  const context = pubSubContext(t);
  const broker = redisManifest.create(context);
  t.after(() => broker.close());
  const metadata = await metadataWith(fields);
  const failure = await broker.init(metadata).then(
    () => assert.fail("it started"),
    (error: unknown) => error,
  );
  assert.ok(failure instanceof Error);
  assert.ok(!failure.message.includes(SECRET) && !context.log.texts().join().includes(SECRET));
  return failure.message;
}

test("a Redis that is not there is an error that names the host, and what to look at", async (t) => {
  assert.match(
    await whyNot(t, { redisHost: "127.0.0.1:1", redisPassword: SECRET }),
    /^cannot connect to Redis at 127\.0\.0\.1:1: .*ECONNREFUSED.*; see that it runs and that redisHost is right$/,
  );
  const mute = net.createServer();
  mute.listen(0, "127.0.0.1");
  await once(mute, "listening");
  t.after(() => mute.close());
  const { port } = mute.address() as net.AddressInfo;
  assert.match(await whyNot(t, { redisHost: `127.0.0.1:${port}`, dialTimeout: "300ms" }), /no answer in 300 ms/);
});

test("fields that cannot be are refused with their place", async (t) => {
  const redisHost = "127.0.0.1:1";
  const cases: readonly [Fields, RegExp][] = [
    [{}, /redisHost is missing or empty/],
    [{ redisHost: `redis://:${SECRET}@h:1` }, /component\.yaml:\d+: metadata field redisHost is a URL/],
    [{ redisHost: "a:1,b:2" }, /redisType: cluster/],
    [{ redisHost: "a:99999" }, /write host:port/],
    [{ redisHost: "a:1", redisPort: "2" }, /redisPort is 2, and redisHost says 1/],
    [{ redisHost, redisType: "ring" }, /redisType is "ring"; write node or cluster/],
    [{ redisHost, useEntraID: "true" }, /useEntraID cannot be used: .*redisPassword/],
    [{ redisHost, useOIDC: "true" }, /useOIDC cannot be used/],
    [{ redisHost, failover: "true" }, /sentinelMasterName is missing/],
    [{ redisHost, failover: "true", redisType: "cluster" }, /does not go with redisType cluster/],
    [{ redisHost, clientCert: "x", enableTLS: "true" }, /clientKey is missing/],
    [{ redisHost, caCert: "x" }, /caCert needs enableTLS/],
    [{ redisHost, concurrency: "many" }, /concurrency is "many"; write a number/],
    [{ redisHost, processingTimeout: "soon" }, /processingTimeout is "soon"; write milliseconds/],
    [{ redisHost, poolSize: "-3" }, /poolSize is -3/],
    [{ redisHost, enableTLS: "perhaps" }, /write true or false/],
  ];
  for (const [fields, failure] of cases) assert.match(await whyNot(t, fields), failure);
});

test("password and user are needed, wrong ones are said, and the right ones serve", async (t) => {
  const args = ["--requirepass", SECRET, "--user", "shop", "on", `>${SECRET}`, "~*", "+@all"];
  const { host: redisHost } = await startRedis(t, { args });
  assert.match(await whyNot(t, { redisHost }), /NOAUTH.*see redisUsername and redisPassword$/);
  assert.match(await whyNot(t, { redisHost, redisPassword: `${SECRET}x` }), /WRONGPASS.*see redisUsername/);
  for (const login of [{}, { redisUsername: "shop" }]) {
    const { broker, log } = await brokerWith(t, { redisHost, redisPassword: SECRET, ...login, ...SOON });
    const topic = `t${Object.keys(login).length}`;
    const { texts } = await consume(broker, topic);
    await broker.publish(anEvent(topic, "x"));
    await waitFor("the event", () => texts().length === 1);
    assert.ok(!log.texts().join().includes(SECRET));
  }
});

test("a user with the documented rights alone can do all of it", async (t) => {
  const rights =
    "+xadd +xgroup|create +xreadgroup +xack +xclaim +xpending +xrange +xdel +client|id +client|unblock +info";
  const args = ["--user", "shop", "on", `>${SECRET}`, "~orders*", "-@all", ...rights.split(" ")];
  const { host: redisHost } = await startRedis(t, { args });
  const { broker } = await brokerWith(t, { redisHost, redisUsername: "shop", redisPassword: SECRET, ...SOON });
  let failures = 0;
  const answer = (): Verdict => (failures++ === 0 ? "again" : "done");
  const { texts } = await consume(broker, "orders", { answer });
  await broker.publish(anEvent("orders", "x"));
  await waitFor("the event, twice", () => texts().length === 2);
  await assert.rejects(broker.publish(anEvent("elsewhere", "x")), /NOPERM/);
});

test("TLS: a certificate that is not known is refused, and with the authority and a client's certificate it serves", async (t) => {
  const authority = makeAuthority(t);
  const server = authority.issue("server", "IP:127.0.0.1");
  const client = authority.issue("client", "DNS:client");
  const files = ["--tls-cert-file", server.certFile, "--tls-key-file", server.keyFile];
  const args = [...files, "--tls-ca-cert-file", authority.caFile, "--tls-auth-clients", "yes"];
  const { host: redisHost } = await startRedis(t, { isTls: true, args });
  const tls = { redisHost, enableTLS: "true", clientCert: client.cert, clientKey: client.key };
  assert.match(await whyNot(t, tls), /certificate.*see enableTLS, caCert/);
  for (const trust of [{ caCert: authority.ca }, { insecureSkipTLSVerify: "true" }]) {
    const { broker } = await brokerWith(t, { ...tls, ...trust, ...SOON });
    const topic = Object.keys(trust).join();
    const { texts } = await consume(broker, topic);
    await broker.publish(anEvent(topic, "x"));
    await waitFor("the event", () => texts().length === 1);
  }
});

test("what Dapr's component writes is handed out, and what we write has its form", async (t) => {
  const server = await startRedis(t);
  const plain = server.client();
  await plain.xadd("orders", "*", "data", "from dapr");
  await plain.xadd("orders", "*", "data", "with metadata", "metadata", '{"k":"v","n":1}');
  await plain.xadd("orders", "*", "metadata", "{no json", "data", "with nonsense");
  const { broker } = await brokerWith(t, { redisHost: server.host, redisDB: "0", ...SOON });
  const { events, texts } = await consume(broker, "orders");
  await waitFor("the events", () => events.length === 3);
  assert.deepEqual(texts(), ["from dapr", "with metadata", "with nonsense"]);
  assert.deepEqual(
    events.map(({ metadata }) => [...metadata]),
    [[], [["k", "v"]], []],
  );
  const metadata = new Map([["ttlInSeconds", "5"]]);
  await broker.publish({ topic: "ours", data: Buffer.from("bare"), contentType: undefined, metadata: new Map() });
  await broker.publish({ topic: "ours", data: Buffer.from("full"), contentType: "text/plain", metadata });
  const entries = (await plain.xrange("ours", "-", "+")).map(([, fields]) => fields);
  assert.deepEqual(entries, [
    ["data", "bare"],
    ["data", "full", "metadata", '{"ttlInSeconds":"5"}', "contentType", "text/plain"],
  ]);
  const consumers = (await plain.xinfo("CONSUMERS", "orders", "shop")) as string[][];
  assert.deepEqual(
    consumers.map(([, name]) => name),
    ["shop"],
  );
});

test("what a consumer that died has left behind is claimed, with its count; a trimmed one does no harm", async (t) => {
  const server = await startRedis(t);
  const plain = server.client();
  await plain.xgroup("CREATE", "orders", "shop", "0", "MKSTREAM");
  const ids = [];
  for (const text of ["1", "2", "3"]) ids.push(await plain.xadd("orders", "*", "data", text));
  await plain.xreadgroup("GROUP", "shop", "dead", "STREAMS", "orders", ">");
  await plain.xdel("orders", ids[1] ?? "");
  const { broker } = await brokerWith(t, { redisHost: server.host, ...SOON });
  const { events, texts } = await consume(broker, "orders");
  await waitFor("both events", () => events.length === 2);
  assert.deepEqual(texts(), ["1", "3"]);
  assert.deepEqual(
    events.map(({ attempt }) => attempt),
    [2, 2],
  );
  await waitFor("nothing to be pending", async () => (await plain.xpending("orders", "shop"))[0] === 0);
});

test("a handler that works for longer than processingTimeout keeps its event", async (t) => {
  const { host: redisHost } = await startRedis(t);
  const [one, two] = [
    (await brokerWith(t, { redisHost, ...SOON })).broker,
    (await brokerWith(t, { redisHost, ...SOON })).broker,
  ];
  let seen = 0;
  let finish = (): void => undefined;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const handle: SubscribeOptions["handle"] = async (events) => {
    const isLong = events.some((event) => textOf(event) === "long");
    if (isLong) seen += 1;
    if (isLong) await finished;
    return events.map(() => "done");
  };
  for (const broker of [one, two]) await consume(broker, "orders", { handle });
  await one.publish(anEvent("orders", "long"));
  const { texts } = await consume(one, "clock", { answer: ({ attempt = 0 }) => (attempt < 3 ? "again" : "done") });
  // 200 ms and more between its attempts: three times the timeout.
  for (const at of [1, 2, 3]) await one.publish(anEvent("clock", `${at}`));
  await waitFor("time to pass", () => texts().length === 9);
  assert.equal(seen, 1);
  finish();
});

test("a Redis that was emptied gets its groups again", async (t) => {
  const server = await startRedis(t);
  const { broker, log } = await brokerWith(t, { redisHost: server.host, ...SOON });
  const { texts } = await consume(broker, "orders");
  await broker.publish(anEvent("orders", "before"));
  await waitFor("the first", () => texts().includes("before"));
  await server.client().flushall();
  await broker.publish(anEvent("orders", "after"));
  await waitFor("the second", () => texts().includes("after"));
  assert.match(log.texts("warn").join(), /gone from Redis.*"topic":"orders"/);
});

test("a Redis that goes away: publishers get an error in time, subscribers go on when it is back, the log says it once", async (t) => {
  const server = await startRedis(t, { appendOnly: "always" });
  const { broker, log } = await brokerWith(t, { redisHost: server.host, poolTimeout: "300ms", ...SOON });
  const { texts } = await consume(broker, "orders");
  const other = await consume(broker, "others");
  await broker.publish(anEvent("orders", "before"));
  await waitFor("the first", () => texts().includes("before"));
  await server.kill();
  await assert.rejects(broker.publish(anEvent("orders", "lost")), /no connection to Redis at 127\.0\.0\.1/);
  await server.restart();
  await waitFor("a publish that is taken", () =>
    broker.publish(anEvent("orders", "after")).then(
      () => true,
      () => false,
    ),
  );
  await broker.publish(anEvent("others", "after"));
  await waitFor("the events", () => texts().includes("after") && other.texts().includes("after"));
  assert.equal(texts().filter((text) => text === "before").length, 1);
  assert.equal(log.texts("warn").length, 1, log.texts().join("\n"));
  assert.match(log.texts("warn").join(), /lost the connection to Redis at 127\.0\.0\.1:\d+/);
  assert.equal(log.texts("info").filter((text) => text.includes("again after")).length, 1);
});

test("what Redis has not answered when the connection is lost is an error that says so", async (t) => {
  const server = await startRedis(t);
  const { broker } = await brokerWith(t, { redisHost: server.host, ...SOON });
  server.freeze(true);
  const lost = /^the connection to Redis at 127\.0\.0\.1:\d+ was lost before it answered$/;
  const published = assert.rejects(broker.publish(anEvent("orders", "x")), ({ message }: Error) => lost.test(message));
  const bulk = broker.publishBulk("orders", [anEvent("orders", "1"), anEvent("orders", "2")]);
  await server.kill();
  await published;
  assert.deepEqual(
    (await bulk).map(({ index, error }) => [index, lost.test(error)]),
    [
      [0, true],
      [1, true],
    ],
  );
});

test("a Redis that answers nothing: publishers get an error in time, and it is used again when it answers", async (t) => {
  const server = await startRedis(t);
  const fields = { redisHost: server.host, readTimeout: "300ms", poolTimeout: "300ms", dialTimeout: "300ms", ...SOON };
  const { broker } = await brokerWith(t, fields);
  const { texts } = await consume(broker, "orders");
  server.freeze(true);
  await assert.rejects(broker.publish(anEvent("orders", "silence")), /gave no answer in 300 ms/);
  assert.equal(await broker.publishBulk("orders", [anEvent("orders", "x")]).catch(() => "failed"), "failed");
  server.freeze(false);
  await waitFor("a publish that is taken", () =>
    broker.publish(anEvent("orders", "after")).then(
      () => true,
      () => false,
    ),
  );
  await waitFor("the event", () => texts().includes("after"));
});

test("a Redis that answers nothing holds up neither the end of a subscription nor that of the broker", async (t) => {
  const server = await startRedis(t);
  // Without end is how long an answer would be waited for.
  const { broker } = await brokerWith(t, { redisHost: server.host, readTimeout: "-1", ...SOON });
  const begun = new Gate();
  const handle: SubscribeOptions["handle"] = (events) => {
    begun.open();
    return Promise.resolve(events.map(() => "done"));
  };
  const [one] = [await subscribeTo(broker, "orders", { handle }), await subscribeTo(broker, "others")];
  await broker.publish(anEvent("orders", "x"));
  await begun.opened;
  server.freeze(true);
  const published = assert.rejects(broker.publish(anEvent("orders", "late")), /the connection to Redis is closed/);
  await one.close(0);
  await broker.close();
  await published;
  server.freeze(false);
});

test("a start that is given up leaves no connection behind", async (t) => {
  const sockets = new Set<net.Socket>();
  const mute = net.createServer((socket) => {
    sockets.add(socket);
    socket.resume().on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
  });
  mute.listen(0, "127.0.0.1");
  await once(mute, "listening");
  t.after(() => mute.close());
  const { port } = mute.address() as net.AddressInfo;
  const broker = redisManifest.create(pubSubContext(t));
  const metadata = await metadataWith({ redisHost: `127.0.0.1:${port}`, dialTimeout: "10m" });
  const started = assert.rejects(broker.init(metadata), /closed/);
  await waitFor("the connection", () => sockets.size === 1);
  await broker.close();
  await started;
  await waitFor("its end", () => sockets.size === 0);
});

test("what cannot be acknowledged is said once, and no more is taken than the queue has room for", async (t) => {
  const rights = "+xadd +xgroup|create +xreadgroup +xclaim +xpending +xrange +info +client|id +client|unblock";
  const args = ["--user", "shop", "on", `>${SECRET}`, "~orders", "-@all", ...rights.split(" ")];
  const server = await startRedis(t, { args });
  const login = { redisUsername: "shop", redisPassword: SECRET };
  const { broker, log } = await brokerWith(t, { redisHost: server.host, queueDepth: "2", ...login });
  const texts = Array.from({ length: 100 }, (_, at) => `${at}`);
  await broker.publishBulk(
    "orders",
    texts.map((text) => anEvent("orders", text)),
  );
  const { events } = await consume(broker, "orders");
  await waitFor("the log", () => log.texts("error").length > 0);
  assert.match(log.texts("error").join(), /NOPERM.*"component":"events","topic":"orders","group":"shop"/);
  await waitFor("what there is room for", () => events.length >= 40);
  assert.equal(events.length, 40);
  await server.client().call("ACL", "SETUSER", "shop", "+xack");
  await waitFor("the rest", () => events.length === texts.length);
  assert.equal(log.texts("error").length, 1);
});

test("a connection for events that cannot be made again is said", async (t) => {
  const server = await startRedis(t);
  const { broker, log } = await brokerWith(t, { redisHost: server.host, poolTimeout: "50ms", ...SOON });
  const { texts } = await consume(broker, "orders");
  const plain = server.client();
  const idOfReader = async (): Promise<string | undefined> =>
    /^id=(\d+) .* cmd=xreadgroup/m.exec((await plain.client("LIST")) as string)?.[1];
  const id = await waitFor("the reader", idOfReader);
  await plain.config("SET", "maxclients", "2");
  await plain.client("KILL", "ID", Number(id));
  await waitFor("the log", () => log.texts("error").length > 0);
  assert.match(log.texts("error").join(), /events cannot be read from Redis: .*max number of clients/);
  await plain.config("SET", "maxclients", "100");
  await broker.publish(anEvent("orders", "x"));
  await waitFor("the event", () => texts().length === 1);
});

test("streams are trimmed by length or age where that is asked for", async (t) => {
  const server = await startRedis(t);
  const plain = server.client();
  const { broker } = await brokerWith(t, { redisHost: server.host, maxLenApprox: "100", ...SOON });
  await broker.publishBulk(
    "orders",
    Array.from({ length: 2000 }, (_, at) => anEvent("orders", `${at}`)),
  );
  assert.ok((await plain.xlen("orders")) < 300);
  const aging = await brokerWith(t, { redisHost: server.host, streamTTL: "1h", ...SOON });
  const longAgo = Date.now() - 7_200_000;
  for (let at = 0; at < 300; at++) await plain.xadd("old", `${longAgo}-${at}`, "data", "old");
  await aging.broker.publish(anEvent("old", "new"));
  assert.ok((await plain.xlen("old")) < 300);
});

test("an error of Redis for some of many is theirs alone", async (t) => {
  const server = await startRedis(t);
  await server.client().set("text", "no stream");
  const { broker } = await brokerWith(t, { redisHost: server.host, ...SOON });
  const failures = await broker.publishBulk("text", [anEvent("text", "1"), anEvent("text", "2")]);
  assert.deepEqual(
    failures.map(({ index, error }) => [index, error.includes("WRONGTYPE")]),
    [
      [0, true],
      [1, true],
    ],
  );
  await assert.rejects(consume(broker, "text"), /WRONGTYPE/);
});

test("ackOnError: what fails is not handed out again", async (t) => {
  const server = await startRedis(t);
  const { broker } = await brokerWith(t, { redisHost: server.host, ackOnError: "true", ...SOON });
  const { texts } = await consume(broker, "orders", { answer: () => "again" });
  await broker.publish(anEvent("orders", "x"));
  const plain = server.client();
  await waitFor("the answer", async () => texts().length === 1 && (await plain.xpending("orders", "shop"))[0] === 0);
});

test("a cluster serves", async (t) => {
  const server = await startRedis(t, { args: ["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1"] });
  const plain = server.client();
  await plain.cluster("ADDSLOTSRANGE", 0, 16_383);
  await waitFor("the cluster", async () => (await plain.cluster("INFO")).includes("cluster_state:ok"));
  const { broker } = await brokerWith(t, { redisHost: server.host, redisType: "cluster", ...SOON });
  for (const topic of ["orders", "payments"]) {
    const { texts } = await consume(broker, topic);
    await broker.publish(anEvent(topic, "1"));
    assert.deepEqual(await broker.publishBulk(topic, [anEvent(topic, "2"), anEvent(topic, "3")]), []);
    await waitFor("the events", () => texts().length === 3);
    assert.deepEqual(texts(), ["1", "2", "3"]);
  }
});

test("the master that sentinels name serves", async (t) => {
  const server = await startRedis(t);
  const sentinel = await startRedis(t, { sentinelOf: server.port });
  const fields = { redisHost: sentinel.host, failover: "true", sentinelMasterName: "mymaster", ...SOON };
  const { broker } = await brokerWith(t, fields);
  const { texts } = await consume(broker, "orders");
  await broker.publish(anEvent("orders", "x"));
  await waitFor("the event", () => texts().includes("x"));
  assert.equal(await server.client().xlen("orders"), 1);
});

const EVENTS = LONG ? 20_000 : 3000;

test(`no event that was taken is lost while Redis is killed again and again: ${EVENTS} events`, {
  timeout: 300_000,
}, async (t) => {
  const server = await startRedis(t, { appendOnly: "always" });
  const fields = { redisHost: server.host, poolTimeout: "2s", ...SOON };
  const [one, two] = [(await brokerWith(t, fields)).broker, (await brokerWith(t, fields)).broker];
  const seen = new Map<string, number>();
  const handle: SubscribeOptions["handle"] = (events) => {
    for (const event of events) seen.set(textOf(event), (seen.get(textOf(event)) ?? 0) + 1);
    return Promise.resolve(
      events.map((event) => (textOf(event).endsWith("7") && event.attempt === 1 ? "again" : "done")),
    );
  };
  await consume(one, "orders", { handle });
  await consume(two, "orders", { handle });
  const taken: string[] = [];
  let [next, failed] = [0, 0];
  const publisher = async (broker: PubSub): Promise<void> => {
    while (next < EVENTS) {
      const text = `${next++}`;
      await broker.publish(anEvent("orders", text)).then(
        () => taken.push(text),
        () => {
          failed += 1;
        },
      );
    }
  };
  const publishers = Array.from({ length: 16 }, (_, at) => publisher(at % 2 === 0 ? one : two));
  for (const part of [0.25, 0.5, 0.75]) {
    await waitFor("some events", () => next >= EVENTS * part);
    await server.killAndRestart();
  }
  await Promise.all(publishers);
  await waitFor("every event that was taken", () => taken.every((text) => seen.has(text)));
  const twice = [...seen].filter(([text, count]) => count > (text.endsWith("7") ? 2 : 1)).length;
  t.diagnostic(`${taken.length} taken, ${failed} refused, ${twice} handed out more often than asked for`);
  assert.ok(taken.length > EVENTS / 2);
});
