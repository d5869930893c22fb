import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { ManualClock } from "../../test/support/manual-clock.ts";
import type { IncomingEvent, OutgoingEvent, PubSub, Verdict } from "../components/contract/pubsub.ts";
import { abortReason, CallAbort, type CallSignal } from "../core/call-signal.ts";
import type { LogFields, Logger } from "../core/logger.ts";
import type { TraceContext } from "../core/trace-context.ts";
import type { SpanAttributes, SpanOutcome, Tracer } from "../core/tracer.ts";
import { ResiliencyPolicies } from "../resiliency/resiliency-policies.ts";
import { compileTrip } from "../resiliency/trip-expression.ts";
import type { ResiliencySpec, RetrySpec } from "../resources/resiliency-spec.ts";
import type { TopicSubscription } from "../resources/subscription-spec.ts";
import { CloudEvent } from "./cloud-event.ts";
import { Deliverer } from "./deliverer.ts";
import { eventExpressionsFor } from "./event-expressions.ts";
import type { BulkDelivery, Delivery, PubSubComponent, PubSubObserver, Reception } from "./ports.ts";
import { RuleError } from "./routing.ts";

const ZEROS = "00-00000000000000000000000000000000-0000000000000000-00";
const SUCCESS: Reception = { kind: "success" };
const RETRY: Reception = { kind: "retry", why: "the app answered RETRY", code: undefined };
const DROP: Reception = {
  kind: "drop",
  why: "the app answered DROP",
  isDeadLetter: true,
  level: "warn",
  code: undefined,
};
const HTTP_500: Reception = { kind: "retry", why: "the app answered 500", code: { protocol: "http", code: 500 } };
const UNREACHED: Reception = { kind: "unreached", why: "connection refused", code: undefined, isGone: false };
const HTTP_404: Reception = {
  kind: "drop",
  why: "the app answered 404",
  isDeadLetter: true,
  level: "error",
  code: { protocol: "http", code: 404 },
};
const GRPC_INTERNAL: Reception = {
  kind: "retry",
  why: "the app answered INTERNAL",
  code: { protocol: "grpc", code: 13 },
};
const GRPC_UNIMPLEMENTED: Reception = {
  kind: "drop",
  why: "the app answered UNIMPLEMENTED",
  isDeadLetter: false,
  level: "warn",
  code: { protocol: "grpc", code: 12 },
};

const SUBSCRIPTION: TopicSubscription = {
  pubsub: "mem",
  topic: "orders",
  metadata: new Map(),
  rules: [],
  defaultPath: "/orders",
  deadLetterTopic: undefined,
  bulk: undefined,
};
const BULK = { maxMessages: 100, maxAwaitMs: 1000 };
const EVENT = { specversion: "1.0", id: "e1", type: "t", source: "s", data: { n: 1 } };

interface Logged {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: LogFields;
}

interface Setup {
  readonly subscription?: Partial<TopicSubscription>;
  readonly policies?: ResiliencyPolicies | undefined;
  readonly clock?: ManualClock;
  readonly tracer?: Tracer;
  readonly mayPublish?: (topic: string) => boolean;
  readonly isClosing?: () => boolean;
  /** In place of a broker that takes everything. */
  publish?(event: OutgoingEvent): Promise<void>;
}

type Answer = Reception | Error | "never";

/** A subscription whose app answers in turn; the last answer stays. */
async function start(answers: readonly Answer[], setup: Setup = {}) {
  const clock = setup.clock ?? new ManualClock();
  const deliveries: Delivery[] = [];
  const bulks: BulkDelivery[] = [];
  const published: OutgoingEvent[] = [];
  const logged: Logged[] = [];
  const counted: unknown[][] = [];
  const signal = new CallAbort();
  const level =
    (of: Logged["level"]) =>
    (message: string, fields: LogFields = {}) => {
      logged.push({ level: of, message, fields });
    };
  const log: Logger = { debug: level("debug"), info: level("info"), warn: level("warn"), error: level("error") };
  const left = [...answers];
  const next = (of: CallSignal): Promise<Reception> => {
    const answer = (left.length > 1 ? left.shift() : left[0]) ?? SUCCESS;
    if (answer === "never") return untilFired(of);
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
  };
  const publish = (event: OutgoingEvent): Promise<void> => {
    published.push(event);
    return setup.publish?.(event) ?? Promise.resolve();
  };
  const broker: PubSub = {
    features: new Set(),
    init: () => Promise.resolve(),
    publish,
    publishBulk: () => Promise.resolve([]),
    subscribe: () => Promise.reject(new Error("nobody subscribes here")),
    close: () => Promise.resolve(),
  };
  const scopes = { mayPublish: setup.mayPublish ?? (() => true), maySubscribe: () => true };
  const component: PubSubComponent = { name: "mem", type: "pubsub.test", broker, group: "app", scopes };
  const observer: PubSubObserver = {
    published: () => undefined,
    bulkPublished: () => undefined,
    delivered: (...of) => counted.push(of),
    bulkDelivered: (...of) => counted.push(of),
  };
  const subscription = { ...SUBSCRIPTION, ...setup.subscription };
  const deliverer = new Deliverer({
    appId: "app",
    subscription,
    description: "orders (test)",
    component,
    receiver: {
      deliver: (delivery, of) => {
        deliveries.push(delivery);
        return next(of);
      },
      deliverBulk: (delivery, of) => {
        bulks.push(delivery);
        return Promise.all(delivery.entries.map(() => next(of)));
      },
    },
    rules: { policies: setup.policies },
    expressions: await eventExpressionsFor([subscription]),
    observer,
    ...(setup.isClosing === undefined ? {} : { isClosing: setup.isClosing }),
    tracer: setup.tracer,
    clock,
    random: () => 0.5,
    log,
  });
  const handle = (...events: readonly IncomingEvent[]): Promise<readonly Verdict[]> => deliverer.handle(events, signal);
  return { handle, clock, deliveries, bulks, published, logged, counted, signal };
}

function untilFired(signal: CallSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", {
      handleEvent: () => {
        reject(abortReason(signal));
      },
    });
  });
}

/** @param what a CloudEvent's members, or bytes. */
function incoming(what: object | string = EVENT, changes: Partial<IncomingEvent> = {}): IncomingEvent {
  const data = Buffer.from(typeof what === "string" ? what : JSON.stringify(what));
  const contentType = "application/cloudevents+json";
  return { id: "b1", topic: "orders", data, contentType, metadata: new Map(), attempt: 1, ...changes };
}

/** Policies with a retry for what the component hands out. */
function policies(
  clock: ManualClock,
  { maxRetries = 2, timeoutMs, trip, matching }: Partial<Policy> = {},
): ResiliencyPolicies {
  const retry: RetrySpec = { policy: "constant", durationMs: 100, maxIntervalMs: 100, maxRetries, matching };
  const breaker = { maxRequests: 1, intervalMs: 0, timeoutMs: 60_000, trip: trip ?? "" };
  const inbound = {
    retry: "r",
    timeout: timeoutMs === undefined ? undefined : "t",
    circuitBreaker: trip === undefined ? undefined : "b",
  };
  const spec = {
    name: "resiliency",
    timeouts: new Map([["t", timeoutMs ?? 0]]),
    retries: new Map([["r", retry]]),
    circuitBreakers: new Map([["b", breaker]]),
    apps: new Map(),
    components: new Map([["mem", { inbound, outbound: undefined }]]),
  } as unknown as ResiliencySpec;
  return new ResiliencyPolicies({ specs: [spec], compileTrip, clock });
}

interface Policy {
  readonly maxRetries: number;
  readonly timeoutMs: number;
  readonly trip: string;
  readonly matching: RetrySpec["matching"];
}

/** Lets time pass for whoever sleeps, until the work is done. */
async function passing<Result>(clock: ManualClock, work: Promise<Result>, ms = 100): Promise<Result> {
  let isDone = false;
  const done = work.finally(() => {
    isDone = true;
  });
  for (let i = 0; i < 1000; i++) {
    await turn();
    // A step that is over is looked at anew.
    if (isDone as boolean) break;
    if (clock.sleeping > 0) clock.advance(ms);
  }
  return done;
}

function members(event: OutgoingEvent | undefined): Record<string, unknown> {
  return JSON.parse(Buffer.from(event?.data ?? []).toString()) as Record<string, unknown>;
}

test("an event that the app takes is done, and goes there with what it came with", async () => {
  const { handle, deliveries, published, logged, counted } = await start([SUCCESS]);
  assert.deepEqual(await handle(incoming(EVENT, { metadata: new Map([["ttlInSeconds", "60"]]) })), ["done"]);
  assert.equal(deliveries.length, 1);
  const [delivery] = deliveries;
  assert.deepEqual([delivery?.pubsub, delivery?.topic, delivery?.path], ["mem", "orders", "/orders"]);
  assert.deepEqual(Object.fromEntries(delivery?.metadata ?? []), { ttlInSeconds: "60", pubsubName: "mem" });
  assert.equal(delivery?.event.raw("data"), '{"n":1}');
  assert.deepEqual([delivery.traceparent, delivery.tracestate], ["", undefined]);
  assert.deepEqual([published, logged], [[], []]);
  assert.deepEqual(counted, [["mem", "orders", "success", "success", 0]]);
});

test("the app gets the trace that the event was published in", async () => {
  const { handle, deliveries } = await start([SUCCESS]);
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  await handle(incoming({ ...EVENT, traceparent, tracestate: "a=b" }));
  await handle(incoming({ ...EVENT, traceid: traceparent }));
  await handle(incoming({ ...EVENT, traceid: "", traceparent: "", tracestate: "" }));
  assert.deepEqual(
    deliveries.map((one) => [one.traceparent, one.tracestate]),
    [
      [traceparent, "a=b"],
      [traceparent, undefined],
      [ZEROS, undefined],
    ],
  );
});

// A8's table, without a policy: what the app says, then the verdict without and with a dead letter topic.
for (const [name, reception, alone, isLetter, level, counts] of [
  ["RETRY", RETRY, "again", true, "warn", ["retry", "retry"]],
  ["another status than 2xx", HTTP_500, "again", true, "warn", ["retry", ""]],
  ["an error of gRPC", GRPC_INTERNAL, "again", true, "warn", ["retry", ""]],
  ["DROP", DROP, "done", true, "warn", ["drop", "drop"]],
  ["404", HTTP_404, "done", true, "error", ["drop", ""]],
  ["Unimplemented", GRPC_UNIMPLEMENTED, "done", false, "warn", ["drop", ""]],
] as const) {
  test(`${name} without a dead letter topic: ${alone}`, async () => {
    const { handle, deliveries, published, logged, counted } = await start([reception]);
    assert.deepEqual(await handle(incoming()), [alone]);
    assert.equal(deliveries.length, 1);
    assert.deepEqual(published, []);
    assert.deepEqual(
      logged.map((one) => one.level),
      [level],
    );
    const { component, topic, subscription, event, brokerId, attempt } = logged[0]?.fields ?? {};
    const about = [component, topic, subscription, event, brokerId, attempt];
    assert.deepEqual(about, ["mem", "orders", "orders (test)", "e1", "b1", 1]);
    assert.deepEqual(counted, [["mem", "orders", ...counts, 0]]);
  });

  test(`${name} with a dead letter topic: done, and ${isLetter ? "a dead letter as it came" : "no dead letter"}`, async () => {
    const { handle, deliveries, published } = await start([reception], { subscription: { deadLetterTopic: "dead" } });
    const event = incoming('{"specversion":"1.0", "n": 1.10}', { metadata: new Map([["k", "v"]]) });
    assert.deepEqual(await handle(event), ["done"]);
    assert.equal(deliveries.length, 1);
    const { data, contentType, metadata } = event;
    assert.deepEqual(published, isLetter ? [{ topic: "dead", data, contentType, metadata }] : []);
  });
}

test("an app that cannot be reached has its event come again", async () => {
  const { handle, logged } = await start([new Error("nobody listens")]);
  assert.deepEqual(await handle(incoming()), ["again"]);
  assert.match(logged[0]?.message ?? "", /comes again: nobody listens/);
});

test("what has not reached the app comes again, and is no dead letter for that", async () => {
  const clock = new ManualClock();
  for (const bulk of [undefined, BULK]) {
    for (const maxRetries of [undefined, 2]) {
      const { handle, deliveries, bulks, published, logged, counted } = await start([UNREACHED], {
        clock,
        subscription: { deadLetterTopic: "dead", bulk },
        policies: maxRetries === undefined ? undefined : policies(clock, { maxRetries }),
      });
      assert.deepEqual(await passing(clock, handle(incoming())), ["again"]);
      assert.equal(deliveries.length + bulks.length, 1 + (maxRetries ?? 0));
      assert.deepEqual(published, []);
      assert.match(logged.at(-1)?.message ?? "", /^an event comes again: connection refused/);
      assert.equal(logged.at(-1)?.fields["event"], "e1");
      assert.deepEqual(counted.at(-1)?.slice(0, 3), ["mem", "orders", "retry"]);
    }
  }
});

test("who has left for good is not waited for", async () => {
  const clock = new ManualClock();
  const { handle, deliveries, published } = await start([{ ...UNREACHED, isGone: true }], {
    clock,
    subscription: { deadLetterTopic: "dead" },
    policies: policies(clock),
  });
  assert.deepEqual(await handle(incoming()), ["again"]);
  assert.equal(deliveries.length, 1);
  assert.deepEqual(published, []);
});

test("an event that takes its app down with it is a dead letter all the same", async () => {
  const clock = new ManualClock();
  for (const bulk of [undefined, BULK]) {
    const { handle, published } = await start([HTTP_500, UNREACHED], {
      clock,
      subscription: { deadLetterTopic: "dead", metadata: new Map([["deadLetterDetails", "true"]]), bulk },
      policies: policies(clock, { maxRetries: 2 }),
    });
    assert.deepEqual(await passing(clock, handle(incoming())), ["done"]);
    const { deadletterreason, deadletterstatus, deadletterattempts } = members(published[0]);
    assert.deepEqual([deadletterreason, deadletterstatus, deadletterattempts], ["the app answered 500", "500", 3]);
  }
});

test("what fails while the subscription is being closed comes again at once; what the app drops stays dropped", async () => {
  const clock = new ManualClock();
  const setup = { clock, subscription: { deadLetterTopic: "dead" }, policies: policies(clock), isClosing: () => true };
  const failing = await start([HTTP_500], setup);
  assert.deepEqual(await failing.handle(incoming()), ["again"]);
  assert.equal(failing.deliveries.length, 1);
  assert.deepEqual(failing.published, []);
  const dropping = await start([DROP], setup);
  assert.deepEqual(await dropping.handle(incoming()), ["done"]);
  assert.equal(dropping.published.length, 1);
});

test("under a policy with a timeout, nothing of an event stays with its subscription", async () => {
  const clock = new ManualClock();
  const { handle, signal } = await start([SUCCESS], { clock, policies: policies(clock, { timeoutMs: 500 }) });
  let listeners = 0;
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
  signal.addEventListener = (type, listener) => {
    listeners++;
    add(type, listener);
  };
  signal.removeEventListener = (type, listener) => {
    listeners--;
    remove(type, listener);
  };
  for (let i = 0; i < 3; i++) assert.deepEqual(await handle(incoming()), ["done"]);
  assert.equal(listeners, 0);
  assert.equal(clock.sleeping, 0);
});

test("what expired goes to no app, and is a dead letter where there is a topic for them", async () => {
  const clock = new ManualClock();
  const expired = incoming({ ...EVENT, expiration: new Date(clock.now() - 1).toISOString() });
  const alone = await start([SUCCESS], { clock });
  assert.deepEqual(await alone.handle(expired), ["done"]);
  assert.deepEqual(alone.counted, [["mem", "orders", "drop", "", 0]]);
  const lettered = await start([SUCCESS], { clock, subscription: { deadLetterTopic: "dead" } });
  assert.deepEqual(await lettered.handle(expired), ["done"]);
  assert.equal(lettered.published.length, 1);
  assert.deepEqual([alone.deliveries, lettered.deliveries], [[], []]);
  for (const expiration of [new Date(clock.now()).toISOString(), "tomorrow", "2001", ""]) {
    assert.deepEqual(await alone.handle(incoming({ ...EVENT, expiration })), ["done"]);
  }
  assert.equal(alone.deliveries.length, 4);
});

test("what is no CloudEvent comes again, or is a dead letter untouched", async () => {
  for (const bad of ["", "{", "[]", "null", "\xff"]) {
    const alone = await start([SUCCESS]);
    assert.deepEqual(await alone.handle(incoming(bad)), ["again"]);
    assert.equal(alone.logged[0]?.level, "error");
    assert.deepEqual(alone.counted, [["mem", "orders", "retry", "", 0]]);
    const metadata = new Map([["deadLetterDetails", "true"]]);
    const lettered = await start([SUCCESS], { subscription: { deadLetterTopic: "dead", metadata } });
    const event = incoming(bad, { metadata: new Map([["k", "v"]]) });
    assert.deepEqual(await lettered.handle(event), ["done"]);
    assert.deepEqual(lettered.published[0]?.data, event.data);
    const details = lettered.published[0].metadata;
    assert.match(details.get("deadletterreason") ?? "", /no CloudEvent/);
    const others = ["k", "deadletterattempts", "deadletterstatus"].map((name) => details.get(name));
    assert.deepEqual(others, ["v", "0", undefined]);
    assert.deepEqual([...alone.deliveries, ...lettered.deliveries], []);
  }
});

test("rules choose the path; without a match the event is let go, and a broken rule brings it back", async () => {
  const rules = [{ match: "event.data.n > 5", path: "/big" }];
  const routed = await start([SUCCESS], { subscription: { rules, defaultPath: undefined } });
  assert.deepEqual(await routed.handle(incoming({ ...EVENT, data: { n: 9 } })), ["done"]);
  assert.deepEqual(
    routed.deliveries.map(({ path }) => path),
    ["/big"],
  );
  assert.deepEqual(await routed.handle(incoming()), ["done"]);
  assert.match(routed.logged.at(-1)?.message ?? "", /dropped: no rule matches/);
  assert.deepEqual(await routed.handle(incoming({ ...EVENT, data: {} })), ["again"]);
  assert.match(routed.logged.at(-1)?.message ?? "", /comes again: rule "event\.data\.n > 5" failed/);
  assert.equal(routed.deliveries.length, 1);
  const lettered = await start([SUCCESS], { subscription: { rules, defaultPath: undefined, deadLetterTopic: "dead" } });
  assert.deepEqual(await lettered.handle(incoming()), ["done"]);
  assert.deepEqual(await lettered.handle(incoming({ ...EVENT, data: {} })), ["done"]);
  assert.equal(lettered.published.length, 2);
});

test("a rule that is no CEL, or metadata that cannot be, is refused at once", async () => {
  await assert.rejects(start([], { subscription: { rules: [{ match: "a b", path: "/" }] } }), RuleError);
  const metadata = new Map([["rawPayload", "yes"]]);
  await assert.rejects(
    start([], { subscription: { metadata } }),
    /rawPayload value must be a valid boolean: actual is 'yes'/,
  );
});

test("raw payloads are wrapped, and are dead letters as they came", async () => {
  const metadata = new Map([
    ["rawPayload", "true"],
    ["deadLetterDetails", "true"],
  ]);
  const { handle, deliveries, published } = await start([SUCCESS, DROP], {
    subscription: { metadata, deadLetterTopic: "dead" },
  });
  await handle(incoming("plain"));
  const event = deliveries[0]?.event;
  assert.deepEqual([event?.text("data_base64"), event?.text("topic")], ["cGxhaW4=", "orders"]);
  await handle(incoming(EVENT));
  assert.deepEqual(members(published[0]), EVENT);
  assert.equal(published[0]?.metadata.get("deadletterstatus"), "DROP");
});

test("a policy has the app asked again, exactly as often as it says", async () => {
  const clock = new ManualClock();
  const alone = await start([HTTP_500], { clock, policies: policies(clock) });
  assert.deepEqual(await passing(clock, alone.handle(incoming())), ["again"]);
  assert.equal(alone.deliveries.length, 3);
  assert.match(
    alone.logged[0]?.message ?? "",
    /not taken: the app answered 500; it is tried again in 100 ms \(retry 1\)/,
  );
  const lettered = await start([HTTP_500, HTTP_500, SUCCESS, RETRY], {
    clock,
    policies: policies(clock),
    subscription: { deadLetterTopic: "dead" },
  });
  assert.deepEqual(await passing(clock, lettered.handle(incoming())), ["done"]);
  assert.equal(lettered.deliveries.length, 3);
  assert.deepEqual(lettered.published, []);
  assert.deepEqual(await passing(clock, lettered.handle(incoming())), ["done"]);
  assert.deepEqual([lettered.deliveries.length, lettered.published.length], [6, 1]);
  assert.equal(lettered.counted.length, 6);
});

test("a policy does not bring back what the app drops, nor what its matching leaves out", async () => {
  const clock = new ManualClock();
  const subscription = { deadLetterTopic: "dead" };
  for (const reception of [DROP, HTTP_404, GRPC_UNIMPLEMENTED]) {
    const { handle, deliveries } = await start([reception], { clock, policies: policies(clock), subscription });
    assert.deepEqual(await passing(clock, handle(incoming())), ["done"]);
    assert.equal(deliveries.length, 1);
  }
  const matching = { http: [{ from: 503, to: 503 }], grpc: [{ from: 13, to: 13 }] };
  for (const [reception, tries] of [
    [HTTP_500, 1],
    [GRPC_INTERNAL, 3],
    [RETRY, 3],
  ] as const) {
    const { handle, deliveries } = await start([reception], {
      clock,
      policies: policies(clock, { matching }),
      subscription,
    });
    assert.deepEqual(await passing(clock, handle(incoming())), ["done"]);
    assert.equal(deliveries.length, tries);
  }
});

test("a timeout ends a try, and what has timed out is a dead letter in the end", async () => {
  const clock = new ManualClock();
  const metadata = new Map([["deadLetterDetails", "true"]]);
  const { handle, deliveries, published } = await start(["never"], {
    clock,
    policies: policies(clock, { timeoutMs: 500, maxRetries: 1 }),
    subscription: { deadLetterTopic: "dead", metadata },
  });
  assert.deepEqual(await passing(clock, handle(incoming()), 500), ["done"]);
  assert.equal(deliveries.length, 2);
  const { deadletterstatus, deadletterattempts, deadletterreason } = members(published[0]);
  assert.deepEqual([deadletterstatus, deadletterattempts], ["DEADLINE_EXCEEDED", 2]);
  assert.match(String(deadletterreason), /within the timeout/);
});

test("an open circuit breaker keeps events from the app", async () => {
  const clock = new ManualClock();
  const { handle, deliveries } = await start([HTTP_500], {
    clock,
    policies: policies(clock, { maxRetries: 0, trip: "consecutiveFailures >= 2" }),
  });
  for (let i = 0; i < 4; i++) assert.deepEqual(await handle(incoming()), ["again"]);
  assert.equal(deliveries.length, 2);
  const other = await start([HTTP_500], {
    clock,
    policies: policies(clock, { maxRetries: 0, trip: "consecutiveFailures >= 2" }),
    subscription: { deadLetterTopic: "dead" },
  });
  const verdicts: Verdict[] = [];
  for (let i = 0; i < 4; i++) verdicts.push(...(await other.handle(incoming())));
  // Those that the app was not asked about are not given up.
  assert.deepEqual(verdicts, ["done", "done", "again", "again"]);
  assert.equal(other.published.length, 2);
});

test("dead letters say why where the subscription asks for it, and keep all that they were", async () => {
  const metadata = new Map([["deadLetterDetails", "true"]]);
  const subscription = { deadLetterTopic: "dead", metadata, topic: "ord*" };
  const clock = new ManualClock();
  const { handle, published } = await start([HTTP_500], { clock, subscription, policies: policies(clock) });
  const text =
    '{"specversion":"1.0","id":"e1","data":{"big":12345678901234567890,"f":1.10},"deadletterreason":"before"}';
  await passing(clock, handle(incoming(text, { attempt: 4 })));
  assert.match(Buffer.from(published[0]?.data ?? []).toString(), /"data":\{"big":12345678901234567890,"f":1\.10\}/);
  const letter = members(published[0]);
  delete letter["data"];
  assert.deepEqual(letter, {
    specversion: "1.0",
    id: "e1",
    deadletterreason: "the app answered 500",
    deadletterstatus: "500",
    // Three hand-outs before, and three tries in this one.
    deadletterattempts: 6,
    deadlettersubscription: "orders (test)",
    deadlettertopic: "orders",
  });
});

test("an expired event that says why it is a dead letter is no longer one that nobody gets", async () => {
  const expiration = "1969-12-31T23:59:59Z";
  const metadata = new Map([["deadLetterDetails", "true"]]);
  const { handle, published } = await start([], { subscription: { deadLetterTopic: "dead", metadata } });
  assert.deepEqual(await handle(incoming({ ...EVENT, expiration })), ["done"]);
  const letter = members(published[0]);
  assert.equal(letter["expiration"], undefined);
  assert.equal(letter["deadletterreason"], `it expired at ${expiration}`);
});

test("an event without a place for its trace is in that which stands beside it; a raw payload gets it into its event", async () => {
  const beside = new Map([
    ["traceid", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
    ["tracestate", "a=b"],
  ]);
  const plain = await start([SUCCESS]);
  await plain.handle(incoming(EVENT, { metadata: beside }));
  const [wrapped] = plain.deliveries;
  assert.deepEqual([wrapped?.traceparent, wrapped?.tracestate], [beside.get("traceid"), "a=b"]);
  assert.equal(wrapped?.event.has("traceid"), false);
  const raw = await start([SUCCESS], { subscription: { metadata: new Map([["RAWPAYLOAD", "true"]]) } });
  await raw.handle(incoming("bytes", { metadata: beside }));
  const [delivery] = raw.deliveries;
  assert.deepEqual([delivery?.traceparent, delivery?.tracestate], [beside.get("traceid"), "a=b"]);
  assert.equal(delivery?.event.text("traceid"), beside.get("traceid"));
  assert.equal(delivery?.event.text("tracestate"), "a=b");
  assert.equal(delivery.event.has("traceparent"), false);
});

test("JSON that is no CloudEvent stays untouched as a dead letter, and says why beside itself", async () => {
  const metadata = new Map([["deadLetterDetails", "true"]]);
  const { handle, published } = await start([RETRY], { subscription: { deadLetterTopic: "dead", metadata } });
  await handle(incoming('{"r": 1}'));
  assert.equal(Buffer.from(published[0]?.data ?? []).toString(), '{"r": 1}');
  assert.equal(published[0]?.metadata.get("deadletterstatus"), "RETRY");
  assert.equal(published[0].metadata.get("deadlettertopic"), "orders");
});

test("an event comes again where it cannot be a dead letter", async () => {
  const subscription = { deadLetterTopic: "dead" };
  const down = await start([DROP], { subscription, publish: () => Promise.reject(new Error("the disk is full")) });
  assert.deepEqual(await down.handle(incoming()), ["again"]);
  assert.match(down.logged[0]?.message ?? "", /could not be published to the dead letter topic dead: the disk is full/);
  assert.equal(down.logged[0]?.level, "error");
  const forbidden = await start([DROP], { subscription, mayPublish: (topic) => topic !== "dead" });
  assert.deepEqual(await forbidden.handle(incoming()), ["again"]);
  assert.deepEqual(forbidden.published, []);
  assert.match(forbidden.logged[0]?.message ?? "", /topic dead is not allowed for app id app/);
});

test("a broker has 30 seconds for a dead letter", async () => {
  const clock = new ManualClock();
  const never = (): Promise<void> => new Promise(() => undefined);
  const { handle, logged } = await start([DROP], { clock, subscription: { deadLetterTopic: "dead" }, publish: never });
  const handled = handle(incoming());
  await turn();
  clock.advance(29_999);
  await turn();
  assert.equal(logged.length, 0);
  clock.advance(1);
  assert.deepEqual(await handled, ["again"]);
  assert.match(logged[0]?.message ?? "", /within 30 seconds/);
  assert.equal(clock.sleeping, 0);
});

test("a first failure that goes straight to the dead letters without a policy is explained, once", async () => {
  const clock = new ManualClock();
  const subscription = { deadLetterTopic: "dead" };
  const hints = (logged: readonly Logged[]): number =>
    logged.filter(({ message }) => message.includes("targets.components.mem.inbound")).length;
  const bare = await start([DROP, HTTP_500], { subscription });
  for (let i = 0; i < 3; i++) await bare.handle(incoming());
  assert.equal(hints(bare.logged), 1);
  const policed = await start([HTTP_500], { clock, subscription, policies: policies(clock, { maxRetries: 0 }) });
  await policed.handle(incoming());
  assert.equal(hints(policed.logged), 0);
});

test("the end of the subscription ends waiting, wherever it is", async () => {
  const clock = new ManualClock();
  const subscription = { deadLetterTopic: "dead" };
  const waiting = [
    await start(["never"], { clock }),
    await start(["never"], { clock, policies: policies(clock, { timeoutMs: 1000 }) }),
    await start([RETRY], { clock, policies: policies(clock) }),
    await start([DROP], { clock, subscription, publish: () => new Promise(() => undefined) }),
    await start(["never"], { clock, subscription: { bulk: BULK } }),
  ];
  for (const { handle, signal, published, deliveries } of waiting) {
    const handled = handle(incoming());
    await turn();
    signal.abort(new Error("closed"));
    assert.deepEqual(await handled, ["again"]);
    const count = [published.length, deliveries.length];
    await turn();
    assert.deepEqual([published.length, deliveries.length], count);
  }
  assert.equal(clock.sleeping, 0);
});

test("each try has a span of its own, which the app is told of", async () => {
  const spans: { name: string; parent: TraceContext; attributes: SpanAttributes; outcome?: SpanOutcome }[] = [];
  const tracer: Tracer = {
    start: (kind, name, parent) => {
      assert.equal(kind, "client");
      const span: (typeof spans)[number] = { name, parent, attributes: {} };
      spans.push(span);
      return {
        trace: { ...parent, traceparent: `span ${spans.length}` },
        isSampled: true,
        rename: () => undefined,
        event: () => undefined,
        describe: (attributes) => {
          span.attributes = attributes;
        },
        end: (outcome) => {
          span.outcome = outcome;
        },
      };
    },
  };
  const clock = new ManualClock();
  const { handle, deliveries } = await start([HTTP_500, GRPC_INTERNAL, SUCCESS], {
    clock,
    tracer,
    policies: policies(clock),
  });
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  await passing(clock, handle(incoming({ ...EVENT, traceparent, tracestate: "a=b" })));
  assert.deepEqual(
    deliveries.map((one) => one.traceparent),
    ["span 1", "span 2", "span 3"],
  );
  assert.deepEqual(
    deliveries.map((one) => one.tracestate),
    ["a=b", "a=b", "a=b"],
  );
  assert.deepEqual(
    spans.map(({ outcome }) => outcome),
    [{ httpStatus: 500 }, { grpcCode: 13, message: "the app answered INTERNAL" }, { grpcCode: 0, message: undefined }],
  );
  assert.equal(spans[0]?.name, "pubsub/orders");
  assert.equal(spans[0].parent.traceparent, traceparent);
  assert.deepEqual(spans[0].attributes, {
    "messaging.system": "pubsub",
    "messaging.destination": "orders",
    "messaging.destination_kind": "topic",
  });
  const bulk = await start([SUCCESS, HTTP_500], { clock, tracer, subscription: { bulk: BULK } });
  await bulk.handle(incoming(), incoming());
  assert.deepEqual(
    spans.slice(3).map(({ outcome }) => outcome),
    [{ grpcCode: 0, message: undefined }, { httpStatus: 500 }],
  );
});

test("a batch goes to the app in one call, in its order", async () => {
  const { handle, bulks, deliveries, counted } = await start([SUCCESS], { subscription: { bulk: BULK } });
  const events = [1, 2, 3].map((n) => incoming({ ...EVENT, id: `e${n}` }, { metadata: new Map([["n", `${n}`]]) }));
  assert.deepEqual(await handle(...events), ["done", "done", "done"]);
  assert.deepEqual(deliveries, []);
  assert.equal(bulks.length, 1);
  const [bulk] = bulks;
  assert.deepEqual(Object.fromEntries(bulk?.metadata ?? []), { pubsubName: "mem" });
  assert.deepEqual([bulk?.topic, bulk?.path, bulk?.pubsub], ["orders", "/orders", "mem"]);
  const entries = bulk?.entries ?? [];
  assert.deepEqual(
    entries.map(({ event }) => (event instanceof CloudEvent ? event.text("id") : "")),
    ["e1", "e2", "e3"],
  );
  assert.deepEqual(
    entries.map(({ metadata }) => Object.fromEntries(metadata)),
    [{ n: "1" }, { n: "2" }, { n: "3" }],
  );
  assert.deepEqual(new Set(entries.map(({ contentType }) => contentType)), new Set(["application/cloudevents+json"]));
  const ids = [bulk?.id, ...entries.map(({ entryId }) => entryId)];
  assert.equal(new Set(ids).size, 4);
  for (const id of ids) assert.match(id ?? "", /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/);
  assert.deepEqual(counted, [["mem", "orders", "success", 3, 0]]);
});

test("each event of a batch has its own verdict and its own dead letter", async () => {
  const answers = [SUCCESS, RETRY, DROP, GRPC_UNIMPLEMENTED, HTTP_404];
  const events = answers.map((_, n) => incoming({ ...EVENT, id: `e${n}` }));
  const alone = await start(answers, { subscription: { bulk: BULK } });
  assert.deepEqual(await alone.handle(...events), ["done", "again", "done", "done", "done"]);
  assert.deepEqual(
    alone.counted.map((one) => one.slice(2, 4)),
    [
      ["success", 1],
      ["retry", 1],
      ["drop", 3],
    ],
  );
  const lettered = await start(answers, { subscription: { bulk: BULK, deadLetterTopic: "dead" } });
  assert.deepEqual(await lettered.handle(...events), ["done", "done", "done", "done", "done"]);
  assert.deepEqual(
    lettered.published.map((one) => members(one)["id"]),
    ["e1", "e2", "e4"],
  );
});

test("a batch goes by path, one call each; what has expired, matches nothing or is no event goes to none", async () => {
  const rules = [
    { match: "event.type == 'a'", path: "/a" },
    { match: "event.type == 'b'", path: "/b" },
  ];
  const { handle, bulks } = await start([SUCCESS], { subscription: { bulk: BULK, rules, defaultPath: undefined } });
  const kinds = ["a", "b", "none", "a", "b"].map((type, n) => incoming({ ...EVENT, type, id: `e${n}` }));
  const gone = [incoming({ ...EVENT, type: "a", expiration: "2001-01-01T00:00:00Z" }), incoming("{")];
  const verdicts = await handle(...kinds, ...gone);
  assert.deepEqual(verdicts, ["done", "done", "done", "done", "done", "done", "again"]);
  const ids = ({ entries }: BulkDelivery) => entries.map(({ event }) => (event as CloudEvent).text("id"));
  assert.deepEqual(
    bulks.map((one) => [one.path, ids(one)]),
    [
      ["/a", ["e0", "e3"]],
      ["/b", ["e1", "e4"]],
    ],
  );
});

test("only what has failed of a batch is tried again", async () => {
  const clock = new ManualClock();
  const { handle, bulks, published } = await start([SUCCESS, RETRY, HTTP_500, DROP, SUCCESS, HTTP_500, HTTP_500], {
    clock,
    policies: policies(clock),
    subscription: { bulk: BULK, deadLetterTopic: "dead", metadata: new Map([["deadLetterDetails", "true"]]) },
  });
  const events = [0, 1, 2, 3].map((n) => incoming({ ...EVENT, id: `e${n}` }));
  assert.deepEqual(await passing(clock, handle(...events)), ["done", "done", "done", "done"]);
  const entryIds = bulks.map(({ entries }) => entries.map(({ entryId }) => entryId));
  assert.deepEqual(
    entryIds.map(({ length }) => length),
    [4, 2, 1],
  );
  assert.deepEqual(entryIds[1], entryIds[0]?.slice(1, 3));
  assert.deepEqual(
    published.map((one) => [members(one)["id"], members(one)["deadletterattempts"], members(one)["deadletterstatus"]]),
    [
      ["e2", 3, "500"],
      ["e3", 1, "DROP"],
    ],
  );
});

test("a policy's matching is asked of a batch whose failures have one code", async () => {
  const clock = new ManualClock();
  const matching = { http: [{ from: 503, to: 503 }], grpc: undefined };
  for (const [answers, calls] of [
    [[HTTP_500, HTTP_500], 1],
    [[HTTP_500, RETRY], 3],
  ] as const) {
    const { handle, bulks } = await start([...answers, HTTP_500, RETRY, HTTP_500, RETRY], {
      clock,
      policies: policies(clock, { matching }),
      subscription: { bulk: BULK },
    });
    await passing(clock, handle(incoming(), incoming()));
    assert.equal(bulks.length, calls);
  }
});

test("a batch of raw payloads goes as bytes", async () => {
  const metadata = new Map([["rawPayload", "true"]]);
  const { handle, bulks } = await start([SUCCESS], { subscription: { bulk: BULK, metadata } });
  await handle(incoming("plain", { contentType: "text/plain" }));
  const [entry] = bulks[0]?.entries ?? [];
  assert.deepEqual(entry?.event, Buffer.from("plain"));
  assert.equal(entry.contentType, "application/octet-stream");
});

test("a batch whose call fails comes again as a whole", async () => {
  const { handle, logged } = await start([new Error("nobody listens")], { subscription: { bulk: BULK } });
  assert.deepEqual(await handle(incoming(), incoming()), ["again", "again"]);
  assert.equal(logged.length, 2);
});

test("something that breaks on the way loses no event", async () => {
  const clock = new ManualClock();
  const broken = policies(clock);
  broken.policyFor = () => {
    throw new Error("out of order");
  };
  const { handle, logged } = await start([SUCCESS], { clock, policies: broken });
  assert.deepEqual(await handle(incoming()), ["again"]);
  assert.match(logged[0]?.message ?? "", /could not be handled, and come again: out of order/);
});
