import assert from "node:assert/strict";
import http2 from "node:http2";
import net from "node:net";
import { type TestContext, test } from "node:test";
import type { JsonObject } from "@bufbuild/protobuf";
import grpc from "@grpc/grpc-js";
import { bulkDeliveryOf, deliveryOf, eventOf, grpcEventApp, patient } from "../../../test/support/event-apps.ts";
import { type GrpcAppOptions, startGrpcApp } from "../../../test/support/grpc-app.ts";
import { waitFor } from "../../../test/support/wait.ts";
import { CallAbort } from "../../core/call-signal.ts";
import type { TopicEventBulkRequest, TopicEventRequest } from "../../gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import { CloudEvent } from "../../pubsub/cloud-event.ts";
import type { Reception } from "../../pubsub/ports.ts";

/** What an app is handed over gRPC, and what its answers mean (A8). */

const SUCCESS: Reception = { kind: "success" };
const again = (why: string, code?: number): Reception => ({
  kind: "retry",
  why,
  code: code === undefined ? undefined : { protocol: "grpc", code },
});
const DROP = {
  kind: "drop",
  why: "the app answered DROP",
  isDeadLetter: true,
  level: "warn",
  code: undefined,
} as const;

type Events = NonNullable<GrpcAppOptions["events"]>;

async function appWith(t: TestContext, events: Events) {
  const { port } = await startGrpcApp(t, { onInvoke: () => ({}), events });
  return grpcEventApp(t, port, "app-token");
}

function failure(code: grpc.status, details: string): Error {
  return Object.assign(new Error(details), { code, details });
}

const ANSWERS: readonly (readonly [what: string, answer: JsonObject, Reception])[] = [
  ["SUCCESS", { status: "SUCCESS" }, SUCCESS],
  ["nothing", {}, SUCCESS],
  ["RETRY", { status: "RETRY" }, again("the app answered RETRY")],
  ["DROP", { status: "DROP" }, DROP],
  ["a status that there is not", { status: 9 }, again("the app answered with a status that there is not: 9")],
];

for (const [what, answer, reception] of ANSWERS) {
  test(`an event that is answered ${what} is a ${reception.kind}`, async (t) => {
    const { app, whenIdle } = await appWith(t, { onTopicEvent: () => answer });
    assert.deepEqual(await app.deliver(deliveryOf(), patient), reception);
    await whenIdle();
  });
}

test("an app without the method lets its events go, and they are no dead letters", async (t) => {
  const { app, whenIdle } = await appWith(t, {});
  const reception = await app.deliver(deliveryOf(), patient);
  assert.ok(reception.kind === "drop");
  assert.deepEqual([reception.isDeadLetter, reception.level], [false, "error"]);
  assert.deepEqual(reception.code, { protocol: "grpc", code: grpc.status.UNIMPLEMENTED });
  await whenIdle();
});

for (const code of [grpc.status.UNKNOWN, grpc.status.NOT_FOUND, grpc.status.UNAVAILABLE, grpc.status.INTERNAL]) {
  test(`an event that fails with ${grpc.status[code]} is tried again, as a policy for that code says`, async (t) => {
    const { app } = await appWith(t, {
      onTopicEvent: () => {
        throw failure(code, "app says no");
      },
    });
    const words = `AppCallback/OnTopicEvent: ${grpc.status[code]}: app says no`;
    assert.deepEqual(await app.deliver(deliveryOf(), patient), again(words, code));
  });
}

test("the app gets the event in fields, what has none among the extensions, and metadata beside it", async (t) => {
  let got: TopicEventRequest | undefined;
  let metadata: grpc.Metadata | undefined;
  const { app } = await appWith(t, {
    onTopicEvent: (request, beside) => {
      [got, metadata] = [request as TopicEventRequest, beside];
      return {};
    },
  });
  const json = {
    ...{ specversion: "1.0", id: "e1", source: "s", type: "t", datacontenttype: "application/json", topic: "first" },
    ...{ subject: "sub", time: "now", n: 1.5, deep: { list: [null, true] } },
  };
  const event = CloudEvent.parse(
    Buffer.from(`${JSON.stringify(json).slice(0, -1)},"data":{"big":12345678901234567890}}`),
  );
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  await app.deliver(deliveryOf({ event, path: "", traceparent, tracestate: "a=b" }), patient);
  assert.ok(got !== undefined && metadata !== undefined);
  const { data, dataContentType, extensions, id, path, pubsubName, source, specVersion, topic, type } = got;
  assert.equal(Buffer.from(data).toString(), '{"big":12345678901234567890}');
  const fields = { dataContentType, extensions, id, path, pubsubName, source, specVersion, topic, type };
  assert.deepEqual(fields, {
    ...{ id: "e1", source: "s", type: "t", specVersion: "1.0", dataContentType: "application/json" },
    ...{ topic: "orders", pubsubName: "mem", path: "" },
    extensions: { topic: "first", subject: "sub", time: "now", n: 1.5, deep: { list: [null, true] } },
  });
  assert.equal(metadata.get("pubsubname")[0], "mem");
  assert.equal(metadata.get("traceparent")[0], traceparent);
  assert.equal(metadata.get("tracestate")[0], "a=b");
  assert.equal(metadata.get("dapr-api-token")[0], "app-token");
  const bin = Buffer.from("00004bf92f3577b34da6a3ce929d0e0e47360100f067aa0ba902b70201", "hex");
  assert.deepEqual(metadata.get("grpc-trace-bin")[0], bin);
});

for (const [what, json] of [
  ["a number that is no double", '{"id":"1","huge":1e999}'],
  ["nesting that no app would read", `{"id":"1","deep":${"[".repeat(2000)}${"]".repeat(2000)}}`],
] as const) {
  test(`an event that gRPC cannot say is a dead letter: ${what}`, async (t) => {
    const { app } = await appWith(t, { onTopicEvent: () => ({}), onBulkTopicEvent: () => ({}) });
    const event = CloudEvent.parse(Buffer.from(json));
    const reception = await app.deliver(deliveryOf({ event }), patient);
    assert.ok(reception.kind === "drop" && reception.isDeadLetter);
    assert.match(reception.why, /^the event cannot be said in gRPC: /);
    const [entry] = bulkDeliveryOf().entries;
    assert.ok(entry !== undefined);
    const [first] = await app.deliverBulk(bulkDeliveryOf({ entries: [{ ...entry, event }] }), patient);
    assert.equal(first?.kind, "drop");
  });
}

/** An app that does this with whatever calls it. */
async function foreignApp(t: TestContext, handle: (stream: http2.ServerHttp2Stream) => void): Promise<number> {
  const server = http2.createServer();
  const sessions: http2.ServerHttp2Session[] = [];
  server.on("session", (session) => sessions.push(session));
  server.on("stream", (stream) => {
    stream.on("error", () => undefined);
    stream.resume();
    handle(stream);
  });
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return (server.address() as net.AddressInfo).port;
}

const GRPC_HEAD = { ":status": 200, "content-type": "application/grpc" };

for (const [what, handle] of [
  [
    "resets the stream",
    (stream: http2.ServerHttp2Stream) => {
      stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    },
  ],
  [
    "cuts the connection",
    (stream: http2.ServerHttp2Stream) => {
      stream.session?.destroy();
    },
  ],
  [
    "answers a page",
    (stream: http2.ServerHttp2Stream) => {
      stream.respond({ ":status": 200 });
      stream.end("<html>");
    },
  ],
  [
    "breaks off within its answer",
    (stream: http2.ServerHttp2Stream) => {
      stream.respond(GRPC_HEAD);
      stream.write("\0");
      stream.session?.destroy();
    },
  ],
  [
    "ends without a status",
    (stream: http2.ServerHttp2Stream) => {
      stream.respond(GRPC_HEAD);
      stream.end();
    },
  ],
  [
    "answers more than a message may have",
    (stream: http2.ServerHttp2Stream) => {
      stream.respond(GRPC_HEAD);
      stream.write(Buffer.from([0, 127, 255, 255, 255]));
    },
  ],
  [
    "answers bytes that are no message",
    (stream: http2.ServerHttp2Stream) => {
      stream.respond(GRPC_HEAD);
      stream.end(Buffer.from([0, 0, 0, 0, 2, 255, 255]));
    },
  ],
] as const) {
  test(`an app that ${what} is tried again`, async (t) => {
    const { app, whenIdle } = grpcEventApp(t, await foreignApp(t, handle));
    const reception = await app.deliver(deliveryOf(), patient);
    assert.equal(reception.kind, "retry");
    const receptions = await app.deliverBulk(bulkDeliveryOf(), patient);
    assert.deepEqual(
      receptions.map(({ kind }) => kind),
      ["retry", "retry", "retry"],
    );
    await assert.rejects(app.subscriptions(patient), /ListTopicSubscriptions/);
    await whenIdle();
  });
}

test("an app that nobody listens for has got nothing, and is UNAVAILABLE", async (t) => {
  const server = net.createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const { app } = grpcEventApp(t, port);
  const reception = await app.deliver(deliveryOf(), patient);
  assert.ok(reception.kind === "unreached");
  assert.deepEqual(reception.code, { protocol: "grpc", code: grpc.status.UNAVAILABLE });
  assert.match(reception.why, /connection refused/);
  await assert.rejects(app.subscriptions(patient), /connection refused/);
});

test("an app that never answers is waited for until the signal says otherwise", async (t) => {
  let calls = 0;
  const silent = (): Promise<JsonObject> => {
    calls++;
    return new Promise(() => undefined);
  };
  const { app, whenIdle } = await appWith(t, { onTopicEvent: silent, onBulkTopicEvent: silent });
  for (const deliver of [app.deliver.bind(app, deliveryOf()), app.deliverBulk.bind(app, bulkDeliveryOf())]) {
    const [signal, before] = [new CallAbort(), calls];
    const reception = deliver(signal);
    await waitFor("the app to have it", () => calls > before);
    const reason = new Error("timed out");
    signal.abort(reason);
    await assert.rejects(reception, reason);
  }
  await whenIdle();
});

test("a batch: each event has the status that the app gave it, and is to be tried again without one", async (t) => {
  let got: TopicEventBulkRequest | undefined;
  const statuses = [
    { entryId: "3", status: "DROP" },
    { entryId: "1", status: "SUCCESS" },
    { entryId: "9", status: "SUCCESS" },
  ];
  const { app, log } = await appWith(t, {
    onBulkTopicEvent: (request) => {
      got = request as TopicEventBulkRequest;
      return { statuses };
    },
  });
  const receptions = await app.deliverBulk(bulkDeliveryOf(), patient);
  assert.deepEqual(receptions, [SUCCESS, again("the app's answer has no status for the event"), DROP]);
  assert.deepEqual(
    log.map(({ level, fields }) => [level, fields?.["entry"]]),
    [["warn", "9"]],
  );
  assert.ok(got !== undefined);
  assert.deepEqual(
    [got.id, got.type, got.path, got.topic, got.pubsubName],
    ["batch", "com.dapr.event.sent.bulk", "/bulk", "orders", "mem"],
  );
  assert.deepEqual(got.metadata, { pubsubName: "mem" });
  assert.equal(got.entries[0]?.event.case === "cloudEvent" ? got.entries[0].event.value.id : "", "e1");
});

test("raw events of a batch go as bytes, under their own content type", async (t) => {
  let got: TopicEventBulkRequest | undefined;
  const { app } = await appWith(t, {
    onBulkTopicEvent: (request) => {
      got = request as TopicEventBulkRequest;
      return {};
    },
  });
  const metadata = new Map([["k", "v"]]);
  const entries = [{ entryId: "1", event: Buffer.from([0, 255]), contentType: "image/png", metadata }];
  await app.deliverBulk(bulkDeliveryOf({ entries }), patient);
  const [entry] = got?.entries ?? [];
  assert.ok(entry?.event.case === "bytes");
  assert.deepEqual(
    [Buffer.from(entry.event.value), entry.contentType, entry.metadata],
    [Buffer.from([0, 255]), "image/png", { k: "v" }],
  );
});

test("an app that has but the older method for batches is asked by that, and the newer no more", async (t) => {
  let [newer, older] = [0, 0];
  const statuses = ["1", "2", "3"].map((entryId) => ({ entryId, status: "SUCCESS" }));
  const { app } = await appWith(t, {
    onBulkTopicEvent: () => {
      newer++;
      throw failure(grpc.status.UNIMPLEMENTED, "no");
    },
    onBulkTopicEventAlpha1: () => {
      older++;
      return { statuses };
    },
  });
  for (let times = 0; times < 3; times++) {
    assert.deepEqual(await app.deliverBulk(bulkDeliveryOf(), patient), [SUCCESS, SUCCESS, SUCCESS]);
  }
  assert.deepEqual([newer, older], [1, 3]);
});

test("an app without either method lets a batch go", async (t) => {
  const { app } = await appWith(t, {});
  const receptions = await app.deliverBulk(bulkDeliveryOf(), patient);
  assert.deepEqual(
    receptions.map((reception) => reception.kind === "drop" && reception.isDeadLetter),
    [false, false, false],
  );
  assert.deepEqual(
    receptions.map(({ kind }) => kind),
    ["drop", "drop", "drop"],
  );
});

test("what the app says that it subscribes to", async (t) => {
  const { app, log } = await appWith(t, {
    listTopicSubscriptions: () => ({
      subscriptions: [
        { pubsubName: "mem", topic: "plain" },
        {
          pubsubName: "mem",
          topic: "routed",
          metadata: { rawPayload: "true" },
          routes: { rules: [{ match: " event.type == 'v1' ", path: "v1" }], default: "d" },
          deadLetterTopic: "dlq",
          bulkSubscribe: { enabled: true, maxMessagesCount: 7 },
        },
        { pubsubName: "mem", topic: "rules alone", routes: { rules: [{ match: "true", path: "/r" }] } },
        { pubsubName: "mem" },
        { topic: "t" },
      ],
    }),
  });
  const plain = { rules: [], metadata: new Map(), deadLetterTopic: undefined, bulk: undefined, pubsub: "mem" };
  assert.deepEqual(await app.subscriptions(patient), [
    { ...plain, topic: "plain", defaultPath: "" },
    {
      pubsub: "mem",
      topic: "routed",
      metadata: new Map([["rawPayload", "true"]]),
      rules: [{ match: "event.type == 'v1'", path: "v1" }],
      defaultPath: "d",
      deadLetterTopic: "dlq",
      bulk: { maxMessages: 7, maxAwaitMs: 1000 },
    },
    { ...plain, topic: "rules alone", rules: [{ match: "true", path: "/r" }], defaultPath: undefined },
  ]);
  assert.deepEqual(
    log.map(({ level, fields }) => [level, fields?.["index"], fields?.["error"]]),
    [
      ["error", 3, "it has no topic of the pubsub mem"],
      ["error", 4, "it has no pubsub_name"],
    ],
  );
});

test("an app without ListTopicSubscriptions has none; one that fails is to be asked again", async (t) => {
  const without = await appWith(t, {});
  assert.deepEqual(await without.app.subscriptions(patient), []);
  const failing = await appWith(t, {
    listTopicSubscriptions: () => {
      throw failure(grpc.status.UNKNOWN, "starting");
    },
  });
  await assert.rejects(failing.app.subscriptions(patient), /UNKNOWN: starting/);
});

test("an event without a trace has no metadata of one", async (t) => {
  let metadata: grpc.Metadata | undefined;
  const { app } = await appWith(t, {
    onTopicEvent: (_, beside) => {
      metadata = beside;
      return {};
    },
  });
  await app.deliver(deliveryOf({ traceparent: "", event: eventOf({ id: "1" }) }), patient);
  assert.deepEqual([metadata?.get("traceparent"), metadata?.get("grpc-trace-bin")], [[], []]);
});
