import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import { type TestContext, test } from "node:test";
import type grpc from "@grpc/grpc-js";
import { daprClient } from "../../../../test/golden/grpc-client.ts";
import { deliveryOf, eventOf, patient, recordedLog } from "../../../../test/support/event-apps.ts";
import { waitFor } from "../../../../test/support/wait.ts";
import { CallAbort } from "../../../core/call-signal.ts";
import { OutriggerError } from "../../../core/errors.ts";
import { Dapr } from "../../../gen/dapr/proto/runtime/v1/dapr_pb.ts";
import type { EventReceiver, Reception } from "../../../pubsub/ports.ts";
import { Publisher } from "../../../pubsub/publisher.ts";
import type { StreamingSubscription } from "../../../pubsub/subscriptions.ts";
import type { TopicSubscription } from "../../../resources/subscription-spec.ts";
import { Readiness } from "../../../runtime/readiness.ts";
import { systemClock } from "../../../runtime/system-clock.ts";
import { ApiTokens } from "../../../security/api-token.ts";
import { GrpcServer } from "../grpc-server.ts";
import { frameOf } from "../message-frames.ts";
import { encode } from "./methods.ts";

/** Clients that subscribe over a stream, with gRPC's own client and a stand-in for whoever hands out events. */

const PLACE = { component: "mem", topic: "orders", subscription: "orders of mem (streaming)" };
const ENDED: Reception = {
  kind: "unreached",
  why: "the subscriber's stream has ended",
  code: undefined,
  isGone: true,
};

/** A subscription that a client has begun, as its broker sees it. */
class Subscribed implements StreamingSubscription {
  closes = 0;
  readonly wanted: TopicSubscription;
  readonly receiver: EventReceiver;
  readonly #whenClosed: () => Promise<void>;

  constructor(wanted: TopicSubscription, receiver: EventReceiver, whenClosed: () => Promise<void>) {
    this.wanted = wanted;
    this.receiver = receiver;
    this.#whenClosed = whenClosed;
  }

  deliver(id: string, signal = patient): Promise<Reception> {
    return this.receiver.deliver(
      deliveryOf({ path: "/", event: eventOf({ id, specversion: "1.0", data: 1 }) }),
      signal,
    );
  }

  close(): Promise<void> {
    this.closes++;
    return this.#whenClosed();
  }
}

interface Options {
  readonly onStream?: (subscribed: Subscribed) => Promise<void> | void;
  readonly whenClosed?: () => Promise<void>;
}

async function served(t: TestContext, { onStream, whenClosed = () => Promise.resolve() }: Options = {}) {
  const subscribed: Subscribed[] = [];
  const { lines, log } = recordedLog();
  const readiness = new Readiness("front", false);
  const server = new GrpcServer({
    invoker: { invoke: () => assert.fail("nobody is called") },
    publisher: new Publisher({
      appId: "front",
      rules: { pubsubs: new Map(), policies: undefined },
      observer: undefined,
      clock: systemClock,
    }),
    subscriptions: {
      stream: async (wanted, receiver) => {
        if (wanted.pubsub === "ghost") throw new OutriggerError("pubsubNotFound", "pubsub ghost is not found");
        if (wanted.pubsub === "scoped") throw new Error("topic secret is not allowed");
        const begun = new Subscribed(wanted, receiver, whenClosed);
        subscribed.push(begun);
        await onStream?.(begun);
        return begun;
      },
    },
    health: readiness,
    metadata: { describe: () => assert.fail("nobody asks"), setExtended: () => undefined },
    shutdown: () => undefined,
    tokens: new ApiTokens([]),
    maxMessageBytes: 4096,
    codec: "lean",
    tracer: undefined,
    readBufferBytes: 4096,
    clock: systemClock,
    log,
  });
  const port = await server.listener.listen("127.0.0.1", 0);
  t.after(() => {
    server.listener.destroy();
  });
  const connect = (options: grpc.CallOptions = {}): ClientStream => new ClientStream(t, port, options);
  return { connect, port, subscribed, readiness, log: lines };
}

type Message = Readonly<Record<string, unknown>>;

class ClientStream {
  readonly call: grpc.ClientDuplexStream<Message, Message>;
  readonly received: Message[] = [];
  status: grpc.StatusObject | undefined;

  constructor(t: TestContext, port: number, options: grpc.CallOptions) {
    const client = daprClient(t, `127.0.0.1:${port}`);
    const method = client["SubscribeTopicEventsAlpha1"] as (options: grpc.CallOptions) => typeof this.call;
    this.call = method.call(client, options);
    this.call.on("data", (message: Message) => this.received.push(message));
    this.call.on("error", () => undefined);
    this.call.on("status", (status) => {
      this.status = status;
    });
  }

  subscribe(changes: Message = {}): void {
    this.call.write({ initial_request: { pubsub_name: "mem", topic: "orders", ...changes } });
  }

  answer(id: string, status: Message | undefined = { status: "SUCCESS" }): void {
    this.call.write({ event_processed: { id, status } });
  }

  /** Ids of the events that came. */
  get ids(): readonly unknown[] {
    return this.received.flatMap((message) => {
      const event = message["event_message"] as Message | null | undefined;
      return event ? [event["id"]] : [];
    });
  }

  async has(events: number): Promise<void> {
    await waitFor(`${events} events`, () => this.ids.length >= events);
  }

  async ended(): Promise<{ readonly code: number; readonly details: string }> {
    const { code, details } = await waitFor("the end of the stream", () => this.status);
    return { code, details };
  }
}

async function begun(t: TestContext, options: Options = {}) {
  const service = await served(t, options);
  const client = service.connect();
  client.subscribe();
  await waitFor("the answer", () => client.received.length === 1);
  const [subscription] = service.subscribed;
  assert.ok(subscription !== undefined);
  return { ...service, client, subscription };
}

const OK = { code: 0, details: "" };

test("a client is greeted, handed its events, and what it says of each is what becomes of it", async (t) => {
  const { client, subscription } = await begun(t);
  assert.deepEqual(client.received, [
    { initial_response: {}, subscribe_topic_events_response_type: "initial_response" },
  ]);
  const receptions = ["a", "b", "c", "d", "e"].map((id) => subscription.deliver(id));
  await client.has(5);
  assert.deepEqual(client.ids, ["a", "b", "c", "d", "e"]);
  client.answer("c", { status: "DROP" });
  client.answer("b", { status: "RETRY" });
  client.answer("a");
  client.call.write({ event_processed: { id: "d" } });
  client.answer("e", { status: 7 });
  const why = "the app answered with a status that there is not: 7";
  assert.deepEqual(await Promise.all(receptions), [
    { kind: "success" },
    { kind: "retry", why: "the app answered RETRY", code: undefined },
    { kind: "drop", why: "the app answered DROP", isDeadLetter: true, level: "warn", code: undefined },
    { kind: "success" },
    { kind: "retry", why, code: undefined },
  ]);
});

test("what the client asks for is what is subscribed to", async (t) => {
  const { connect, subscribed } = await served(t);
  connect().subscribe({ metadata: { rawPayload: "true" }, dead_letter_topic: "dlq" });
  connect().subscribe({ dead_letter_topic: "" });
  await waitFor("both", () => subscribed.length === 2);
  const plain = { pubsub: "mem", topic: "orders", rules: [], defaultPath: "/", bulk: undefined };
  const wanted = subscribed.map((each) => each.wanted).sort((a, b) => b.metadata.size - a.metadata.size);
  assert.deepEqual(wanted, [
    { ...plain, metadata: new Map([["rawPayload", "true"]]), deadLetterTopic: "dlq" },
    { ...plain, metadata: new Map(), deadLetterTopic: undefined },
  ]);
});

const REFUSALS: readonly (readonly [what: string, first: Message | undefined, code: number, details: string])[] = [
  ["an unknown pubsub", { initial_request: { pubsub_name: "ghost", topic: "t" } }, 3, "pubsub ghost is not found"],
  ["no topic", { initial_request: { pubsub_name: "mem", topic: "" } }, 2, "topic is required"],
  ["no pubsub", { initial_request: { pubsub_name: "", topic: "t" } }, 2, "pubsubName is required"],
  ["an answer for an event first", { event_processed: { id: "x" } }, 2, "initial request is required"],
  ["a message of neither kind", {}, 2, "initial request is required"],
  ["no message at all", undefined, 2, "initial request is required"],
  [
    "a topic that it may not have",
    { initial_request: { pubsub_name: "scoped", topic: "secret" } },
    2,
    "topic secret is not allowed",
  ],
];

for (const [what, first, code, details] of REFUSALS) {
  test(`a stream that begins with ${what} ends with code ${code}`, async (t) => {
    const { connect, log } = await served(t);
    const client = connect();
    if (first === undefined) client.call.end();
    else client.call.write(first);
    assert.deepEqual(await client.ended(), { code, details });
    assert.deepEqual(client.received, []);
    assert.deepEqual(log, []);
  });
}

for (const [what, second] of [
  ["a second initial request", { initial_request: { pubsub_name: "mem", topic: "orders" } }],
  ["a message of neither kind", {}],
] as const) {
  test(`${what} ends the stream, and what the client has is to be handed out again`, async (t) => {
    const { client, subscription } = await begun(t);
    const reception = subscription.deliver("a");
    await client.has(1);
    client.call.write(second);
    assert.deepEqual(await client.ended(), { code: 2, details: "duplicate initial request received" });
    assert.deepEqual(await reception, ENDED);
    assert.equal(subscription.closes, 1);
  });
}

for (const [what, leave] of [
  [
    "cancels",
    (client: ClientStream) => {
      client.call.cancel();
    },
  ],
  [
    "has no more to say",
    (client: ClientStream) => {
      client.call.end();
    },
  ],
] as const) {
  test(`a client that ${what} is subscribed no more, and what it has is to be handed out again`, async (t) => {
    const { client, subscription, log } = await begun(t);
    const receptions = ["a", "a", "b"].map((id) => subscription.deliver(id));
    await client.has(2);
    leave(client);
    assert.deepEqual(await Promise.all(receptions), [ENDED, ENDED, ENDED]);
    await waitFor("the subscription to be closed", () => subscription.closes === 1);
    assert.deepEqual(await subscription.deliver("late"), ENDED);
    if (what === "has no more to say") assert.deepEqual(await client.ended(), OK);
    assert.deepEqual(log, []);
  });
}

test("a client whose connection is lost is subscribed no more", async (t) => {
  const { port, subscribed } = await served(t);
  const session = http2.connect(`http://127.0.0.1:${port}`);
  const { name, input, parent } = Dapr.method.subscribeTopicEventsAlpha1;
  const head = { ":method": "POST", ":path": `/${parent.typeName}/${name}`, "content-type": "application/grpc" };
  const stream = session.request({ ...head, te: "trailers" }, { endStream: false });
  stream.on("error", () => undefined);
  const initial = { case: "initialRequest", value: { pubsubName: "mem", topic: "orders" } } as const;
  stream.write(frameOf(encode(input, { subscribeTopicEventsRequestType: initial })));
  const subscription = await waitFor("the subscription", () => subscribed[0]);
  const reception = subscription.deliver("a");
  await once(stream, "data");
  session.destroy();
  assert.deepEqual(await reception, ENDED);
  await waitFor("the subscription to be closed", () => subscription.closes === 1);
});

test("a client whose time is up is told so, and subscribed no more", async (t) => {
  const { connect, subscribed } = await served(t);
  const client = connect({ deadline: Date.now() + 300 });
  client.subscribe();
  assert.equal((await client.ended()).code, 4);
  await waitFor("the subscription to be closed", () => subscribed.every(({ closes }) => closes === 1));
});

test("a client that leaves while it is being subscribed is subscribed no more", async (t) => {
  const left = new CallAbort();
  const { connect, subscribed } = await served(t, {
    onStream: () =>
      new Promise((resolve) => {
        left.addEventListener("abort", { handleEvent: resolve });
      }),
  });
  const client = connect();
  client.subscribe();
  await waitFor("the subscription to be begun", () => subscribed.length === 1);
  client.call.cancel();
  await client.ended();
  left.abort(new Error("left"));
  await waitFor("the subscription to be closed", () => subscribed[0]?.closes === 1);
});

test("events that come before the client is greeted come behind the greeting", async (t) => {
  const receptions: Promise<Reception>[] = [];
  const { connect } = await served(t, {
    onStream: (subscribed) => {
      receptions.push(subscribed.deliver("early"));
    },
  });
  const client = connect();
  client.subscribe();
  await client.has(1);
  assert.ok(client.received[0]?.["initial_response"]);
  client.answer("early");
  assert.deepEqual(await Promise.all(receptions), [{ kind: "success" }]);
});

test("of two events with one id the client gets the second once it has answered the first", async (t) => {
  const { client, subscription } = await begun(t);
  const [first, second] = [subscription.deliver("same"), subscription.deliver("same")];
  const other = subscription.deliver("other");
  await client.has(2);
  assert.deepEqual(client.ids, ["same", "other"]);
  client.answer("other");
  await other;
  client.answer("same", { status: "RETRY" });
  assert.equal((await first).kind, "retry");
  await client.has(3);
  client.answer("same");
  assert.equal((await second).kind, "success");
});

test("events without an id get one, by which they are answered", async (t) => {
  const { client, subscription } = await begun(t);
  const receptions = [subscription.deliver(""), subscription.deliver("")];
  await client.has(2);
  const [one, other] = client.ids;
  assert.notEqual(one, other);
  client.answer(String(one));
  client.answer(String(other));
  assert.deepEqual(
    (await Promise.all(receptions)).map(({ kind }) => kind),
    ["success", "success"],
  );
});

test("an answer for an event that the client does not have is told of, and nothing else", async (t) => {
  const { client, subscription, log } = await begun(t);
  client.answer("never\nhad");
  const reception = subscription.deliver("a");
  await client.has(1);
  client.answer("a");
  assert.equal((await reception).kind, "success");
  assert.deepEqual(
    log.map(({ level, fields }) => [level, fields]),
    [["warn", { ...PLACE, event: "never\\nhad" }]],
  );
});

test("an event that nobody waits for any more is handed out again, under the same id", async (t) => {
  const { client, subscription } = await begun(t);
  const signal = new CallAbort();
  const [given, waiting] = [subscription.deliver("a", signal), subscription.deliver("a", signal)];
  await client.has(1);
  signal.abort(new Error("timed out"));
  await assert.rejects(given, /timed out/);
  // The client has not had this one at all.
  assert.deepEqual(await waiting, { kind: "unreached", why: "timed out", code: undefined, isGone: false });
  await assert.rejects(subscription.deliver("a", signal), /timed out/);
  const again = subscription.deliver("a");
  await client.has(2);
  client.answer("a");
  assert.equal((await again).kind, "success");
});

test("a thousand events come in their order, and many streams at once each have their own", async (t) => {
  const { connect, subscribed } = await served(t);
  const clients = Array.from({ length: 5 }, (_, at) => {
    const client = connect();
    client.subscribe({ topic: `t${at}` });
    client.call.on("data", (message: Message) => {
      const event = message["event_message"] as Message | undefined;
      if (event) client.answer(String(event["id"]));
    });
    return client;
  });
  await waitFor("all streams", () => subscribed.length === clients.length);
  const ids = Array.from({ length: 1000 }, (_, at) => `e${at}`);
  await Promise.all(
    subscribed.map(async (subscription) => {
      const receptions = await Promise.all(ids.map((id) => subscription.deliver(id)));
      assert.ok(receptions.every(({ kind }) => kind === "success"));
    }),
  );
  for (const client of clients) assert.deepEqual(client.ids, ids);
});

test("a sidecar that ends lets the client answer what it has, and then ends the stream", async (t) => {
  let finishClosing = (): void => undefined;
  const whenClosed = (): Promise<void> =>
    new Promise((resolve) => {
      finishClosing = resolve;
    });
  const { client, subscription, readiness } = await begun(t, { whenClosed });
  const reception = subscription.deliver("a");
  await client.has(1);
  readiness.markEnding();
  await waitFor("the subscription to be closed", () => subscription.closes > 0);
  client.answer("a");
  assert.equal((await reception).kind, "success");
  assert.equal(client.status, undefined);
  const ending = setInterval(() => {
    finishClosing();
  }, 5);
  t.after(() => {
    clearInterval(ending);
  });
  assert.deepEqual(await client.ended(), { code: 14, details: "the sidecar is ending" });
});

test("a stream that is begun while the sidecar ends is ended", async (t) => {
  const { connect, readiness } = await served(t);
  readiness.markEnding();
  const client = connect();
  client.subscribe();
  assert.deepEqual(await client.ended(), { code: 14, details: "the sidecar is ending" });
});
