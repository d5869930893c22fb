import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { parseAppId, parseNamespace } from "../core/app-id.ts";
import { abortReason, type CallSignal } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";
import { CallError } from "../core/errors.ts";
import type { LogFields, Logger } from "../core/logger.ts";
import type { Body, RequestMessage, ResponseMessage } from "../core/message.ts";
import { spiffeIdOf } from "../core/spiffe-id.ts";
import { AccessControl } from "../security/access-control.ts";
import { AppHealth, appUnhealthy } from "./app-health.ts";
import { ConcurrencyLimit } from "./concurrency-limit.ts";
import type { AppChannel, BodyLimit } from "./ports.ts";
import { Receiver, type ReceiverParts } from "./receiver.ts";
import { StartGate } from "./start-gate.ts";

const request: RequestMessage = {
  method: "GET",
  path: "/add",
  query: undefined,
  headers: [],
  body: undefined,
  contentLength: undefined,
  signal: new AbortController().signal,
};

/** An app that answers with these bodies in turn, or fails. */
class FakeApp implements AppChannel {
  readonly received: RequestMessage[] = [];
  readonly #answers: (Body | Error)[];
  readonly #headers: string[];

  constructor(answers: (Body | Error)[], headers: string[] = []) {
    this.#answers = answers;
    this.#headers = headers;
  }

  call(received: RequestMessage): Promise<ResponseMessage> {
    this.received.push(received);
    const body = this.#answers.shift();
    if (body instanceof Error) return Promise.reject(body);
    return Promise.resolve({ status: 200, statusText: "OK", headers: this.#headers, body });
  }
}

/** Nobody sleeps here unless a test is about it. */
const sleepless: Clock = {
  now: () => 0,
  monotonic: () => 0,
  sleep: () => Promise.reject(new Error("nobody was to wait")),
};

const openGate = new StartGate(sleepless, 0);

const fromNobody = { caller: undefined, identity: undefined };
const shop = { id: parseAppId("shop"), namespace: parseNamespace("prod") };
const fromShop = { caller: shop, identity: spiffeIdOf("public", shop) };

/** Everything but `/admin` may be called by the shop, and nothing by others. */
const access = new AccessControl({
  trustDomain: "public",
  defaultAction: "deny",
  policies: [
    {
      caller: fromShop.identity,
      defaultAction: "allow",
      operations: [{ name: "/admin", verbs: ["*"], action: "deny" }],
    },
  ],
});

const ignore = (): void => undefined;

/** Notes its warnings. */
class FakeLog implements Logger {
  readonly warnings: [message: string, fields: LogFields | undefined][] = [];
  readonly debug = ignore;
  readonly info = ignore;
  readonly error = ignore;

  warn(message: string, fields?: LogFields): void {
    this.warnings.push([message, fields]);
  }
}

function receiverOf(parts: Partial<ReceiverParts>): Receiver {
  return new Receiver({
    channel: undefined,
    speaksGrpc: false,
    limit: new ConcurrencyLimit(0, 1),
    gate: openGate,
    health: undefined,
    limitBody: (same) => same,
    access: undefined,
    log: new FakeLog(),
    ...parts,
  });
}

test("the app gets the request, and its answer goes back without the headers of its connection", async () => {
  const app = new FakeApp([Buffer.from("3")], ["X-App", "1", "Connection", "keep-alive", "Traceparent", "zz"]);
  const response = await receiverOf({ channel: app }).receive({ ...fromNobody, request });
  assert.deepEqual(app.received, [request]);
  assert.deepEqual(response, { status: 200, statusText: "OK", headers: ["X-App", "1"], body: Buffer.from("3") });
});

test("without an app, another app is told so as an internal error of the callee", async () => {
  const receiver = receiverOf({ channel: undefined });
  await assert.rejects(
    receiver.receive({ ...fromNobody, request }),
    new CallError("Internal", "app channel is not initialized"),
  );
  await receiver.whenIdle();
});

test("without an app, a call to oneself fails in daprd's words for that", async () => {
  const receiver = receiverOf({ channel: undefined });
  await assert.rejects(
    receiver.receiveOwn(request),
    new CallError(undefined, "cannot invoke local endpoint: app channel not initialized"),
  );
  await receiver.whenIdle();
});

test("of another app's call, the app gets the body as it has been limited", async () => {
  const app = new FakeApp([undefined]);
  const limited: RequestMessage = { ...request, body: Buffer.from("limited") };
  const asked: RequestMessage[] = [];
  const limitBody: BodyLimit = (whole) => {
    asked.push(whole);
    return limited;
  };
  await receiverOf({ channel: app, limitBody }).receive({ ...fromNobody, request });
  assert.deepEqual(asked, [request]);
  assert.deepEqual(app.received, [limited]);
});

test("another app's call that is over the limit ends there: the app is not asked, and nothing stays taken", async () => {
  const error = new CallError("ResourceExhausted", "too large");
  const limitBody: BodyLimit = () => {
    throw error;
  };
  const app = new FakeApp([undefined]);
  const limit = new ConcurrencyLimit(1, 10);
  const receiver = receiverOf({ channel: app, limit, limitBody });
  await assert.rejects(receiver.receive({ ...fromNobody, request }), error);
  assert.deepEqual(app.received, []);
  await isFreeAgain(receiver, limit);
});

test("a call to oneself has passed the limit of this very sidecar already", async () => {
  const app = new FakeApp([undefined]);
  const limitBody: BodyLimit = () => assert.fail("it was limited once more");
  await receiverOf({ channel: app, limitBody }).receiveOwn(request);
  assert.deepEqual(app.received, [request]);
});

test("a call that access rules allow reaches the app", async () => {
  const app = new FakeApp([undefined]);
  await receiverOf({ channel: app, access }).receive({ ...fromShop, request });
  assert.deepEqual(app.received, [request]);
});

test("a call that access rules deny is told so in daprd's words, logged, and does not reach the app", async () => {
  const app = new FakeApp([undefined]);
  const log = new FakeLog();
  const call = { ...fromShop, request: { ...request, path: "/Admin/%7Ex" } };
  await assert.rejects(
    receiverOf({ channel: app, access, log }).receive(call),
    new CallError(
      "PermissionDenied",
      "access control policy has denied access to id: spiffe://public/ns/prod/shop operation: Admin/~x verb: GET",
    ),
  );
  assert.deepEqual(app.received, []);
  const fields = { caller: "spiffe://public/ns/prod/shop", claimed: "shop", operation: "Admin/~x", verb: "GET" };
  assert.deepEqual(log.warnings, [["access control has denied a call", fields]]);
});

test("who a caller says it is does not count, only who it is proved to be", async () => {
  const app = new FakeApp([undefined]);
  const log = new FakeLog();
  await assert.rejects(
    receiverOf({ channel: app, access, log }).receive({ caller: shop, identity: undefined, request }),
    new CallError("PermissionDenied", "access control policy has denied access to id:  operation: add verb: GET"),
  );
  assert.deepEqual(app.received, []);
  assert.match(String(log.warnings[0]?.[1]?.["caller"]), /^unknown: a call from another process proves no identity/);
});

test("a call is judged before it waits for a starting app, takes a slot or has its body limited", async () => {
  const limit = new ConcurrencyLimit(1, 10);
  await limit.acquire(request.signal);
  const limitBody: BodyLimit = () => assert.fail("its body was limited");
  const gate = new StartGate({ ...sleepless, sleep: (_, signal) => rejectionOf(signal) }, 10_000);
  const receiver = receiverOf({ channel: new FakeApp([]), access, limit, gate, limitBody });
  await assert.rejects(receiver.receive({ ...fromNobody, request }), { code: "PermissionDenied" });
  await receiver.whenIdle();
  limit.release();
  await isFreeAgain(receiver, limit);
});

test("an app may call itself whatever its access rules say of others", async () => {
  const app = new FakeApp([undefined]);
  const call = { ...request, path: "/admin" };
  await receiverOf({ channel: app, access }).receiveOwn(call);
  assert.deepEqual(app.received, [call]);
});

test("a path with an escape that is none is refused where there are rules to judge it by", async () => {
  const app = new FakeApp([undefined]);
  await assert.rejects(
    receiverOf({ channel: app, access }).receive({ ...fromShop, request: { ...request, path: "/a%zz" } }),
    new CallError("InvalidArgument", 'invalid method: invalid URL escape "%zz"'),
  );
  assert.deepEqual(app.received, []);
});

test("a path that could mean ever more things is denied", async () => {
  const app = new FakeApp([undefined]);
  const path = `/x%${"25".repeat(200)}41`;
  await assert.rejects(receiverOf({ channel: app, access }).receive({ ...fromShop, request: { ...request, path } }), {
    code: "PermissionDenied",
  });
  assert.deepEqual(app.received, []);
});

for (const [what, body] of [
  ["no body", undefined],
  ["a body that is all there", Buffer.from("3")],
] as const) {
  test(`an answer with ${what} gives its slot back at once`, async () => {
    const limit = new ConcurrencyLimit(1, 10);
    const receiver = receiverOf({ channel: new FakeApp([body]), limit });
    await receiver.receiveOwn(request);
    await isFreeAgain(receiver, limit);
  });
}

test("an answer that streams keeps its slot until it has been read to its end", async () => {
  const limit = new ConcurrencyLimit(1, 10);
  const app = new FakeApp([Readable.from(["1", "2"]), undefined]);
  const receiver = receiverOf({ channel: app, limit });
  const { body } = await receiver.receiveOwn(request);
  const next = receiver.receiveOwn(request);
  await microtasks();
  assert.equal(app.received.length, 1);
  assert.equal(await hasFreeSlot(limit), false);
  assert.equal(await textOf(body), "12");
  await next;
  assert.equal(app.received.length, 2);
  await isFreeAgain(receiver, limit);
});

test("a call is under way until its answer has been read to its end", async () => {
  const receiver = receiverOf({ channel: new FakeApp([Readable.from(["1", "2"])]) });
  const { body } = await receiver.receiveOwn(request);
  let idle = false;
  const whenIdle = receiver.whenIdle().then(() => {
    idle = true;
  });
  await microtasks();
  assert.equal(idle, false);
  await textOf(body);
  await whenIdle;
});

test("a call is under way while it waits for its slot, and when it has one", async () => {
  const limit = new ConcurrencyLimit(1, 10);
  const answer = Readable.from(["1"]);
  const receiver = receiverOf({ channel: new FakeApp([answer]), limit });
  await limit.acquire(request.signal);
  const waiting = receiver.receiveOwn(request);
  let idle = false;
  const whenIdle = receiver.whenIdle().then(() => {
    idle = true;
  });
  await microtasks();
  assert.equal(idle, false);
  limit.release();
  await waiting;
  await microtasks();
  assert.equal(idle, false);
  answer.destroy();
  await whenIdle;
});

test("an answer that nobody wants any more gives its slot back", async () => {
  const limit = new ConcurrencyLimit(1, 10);
  const receiver = receiverOf({ channel: new FakeApp([Readable.from(["1", "2"])]), limit });
  const { body } = await receiver.receiveOwn(request);
  assert.equal(await hasFreeSlot(limit), false);
  (body as Readable).destroy();
  await receiver.whenIdle();
  await isFreeAgain(receiver, limit);
});

test("an answer that broke before anybody saw it gives its slot back", async () => {
  const limit = new ConcurrencyLimit(1, 10);
  const broken = Readable.from(["1"]);
  broken.on("error", () => undefined);
  broken.destroy(new Error("broken"));
  await new Promise((resolve) => broken.once("close", resolve));
  const receiver = receiverOf({ channel: new FakeApp([broken]), limit });
  await receiver.receiveOwn(request);
  await isFreeAgain(receiver, limit);
});

test("an app that does not answer gives its slot back, and its error goes on as it is", async () => {
  const limit = new ConcurrencyLimit(1, 10);
  const error = new CallError("Internal", "error invoking app channel: refused");
  const receiver = receiverOf({ channel: new FakeApp([error]), limit });
  await assert.rejects(receiver.receiveOwn(request), error);
  await isFreeAgain(receiver, limit);
});

test("a call to an app that is starting reaches it once it is there", async () => {
  const asleep: Clock = { ...sleepless, sleep: (_, signal) => rejectionOf(signal) };
  const gate = new StartGate(asleep, 10_000);
  const app = new FakeApp([undefined]);
  const receiver = receiverOf({ channel: app, gate });
  const answered = receiver.receiveOwn(request);
  let idle = false;
  const whenIdle = receiver.whenIdle().then(() => {
    idle = true;
  });
  await microtasks();
  assert.deepEqual(app.received, []);
  assert.equal(idle, false);
  gate.open();
  await answered;
  assert.deepEqual(app.received, [request]);
  await whenIdle;
});

test("a caller that goes away while the app starts leaves no slot taken", async () => {
  const asleep: Clock = { ...sleepless, sleep: (_, signal) => rejectionOf(signal) };
  const limit = new ConcurrencyLimit(1, 10);
  const caller = new AbortController();
  const receiver = receiverOf({ channel: new FakeApp([]), limit, gate: new StartGate(asleep, 10_000) });
  const answered = receiver.receiveOwn({ ...request, signal: caller.signal });
  caller.abort(new Error("gone"));
  await assert.rejects(answered, new Error("gone"));
  await isFreeAgain(receiver, limit);
});

test("a caller that goes away while it waits for a slot takes none", async () => {
  const limit = new ConcurrencyLimit(1, 10);
  const caller = new AbortController();
  const app = new FakeApp([]);
  const receiver = receiverOf({ channel: app, limit });
  await limit.acquire(request.signal);
  const answered = receiver.receiveOwn({ ...request, signal: caller.signal });
  caller.abort(new Error("gone"));
  await assert.rejects(answered, new Error("gone"));
  await receiver.whenIdle();
  limit.release();
  assert.deepEqual(app.received, []);
  await isFreeAgain(receiver, limit);
});

/** An app that says how it is when `ask` is called; it has not been asked before. */
function askedApp(): {
  readonly health: AppHealth;
  readonly ask: (answer: string | undefined) => Promise<void>;
} {
  let answered: ((answer: string | undefined) => void) | undefined;
  const health = new AppHealth({
    probe: {
      ask: () =>
        new Promise((resolve) => {
          answered = resolve;
        }),
    },
    clock: { ...sleepless, sleep: (ms) => (ms === 0 ? Promise.resolve() : rejectionOf(undefined)) },
    intervalMs: 0,
    timeoutMs: 1,
    threshold: 1,
  });
  health.start();
  return {
    health,
    ask: async (answer) => {
      answered?.(answer);
      await microtasks();
    },
  };
}

test("an app that is not healthy gets no calls, from nobody, and gets them again when it is", async () => {
  const { health, ask } = askedApp();
  const app = new FakeApp([]);
  const limit = new ConcurrencyLimit(1, 10);
  const receiver = receiverOf({ channel: app, limit, health });
  const refused = new CallError("Internal", "app is not in a healthy state", { nothingSent: true });
  await assert.rejects(receiver.receive({ ...fromNobody, request }), refused);
  await ask(undefined);
  await receiver.receive({ ...fromNobody, request });
  await receiver.receiveOwn(request);
  await ask("bad");
  await assert.rejects(receiver.receive({ ...fromNobody, request }), refused);
  await assert.rejects(receiver.receiveOwn(request), refused);
  assert.equal(app.received.length, 2);
  await isFreeAgain(receiver, limit);
  health.stop();
});

test("when the app becomes unhealthy, calls it has go on, and those that wait for a slot wait no more", async () => {
  const { health, ask } = askedApp();
  const app = new FakeApp([Readable.from(["1", "2"])]);
  const limit = new ConcurrencyLimit(1, 10);
  const receiver = receiverOf({ channel: app, limit, health });
  await ask(undefined);
  const { body } = await receiver.receiveOwn(request);
  const waiting = [receiver.receiveOwn(request), receiver.receive({ ...fromNobody, request })];
  const refused = Promise.all(waiting.map((call) => assert.rejects(call, appUnhealthy())));
  await ask("bad");
  await refused;
  assert.equal(await textOf(body), "12");
  assert.equal(app.received.length, 1);
  await isFreeAgain(receiver, limit);
  health.stop();
});

test("a call that has waited for an app to start is refused where it is not healthy then", async () => {
  const { health } = askedApp();
  const asleep: Clock = { ...sleepless, sleep: (_, signal) => rejectionOf(signal) };
  const gate = new StartGate(asleep, 10_000);
  const app = new FakeApp([]);
  const receiver = receiverOf({ channel: app, gate, health });
  const answered = receiver.receiveOwn(request);
  gate.open();
  await assert.rejects(answered, appUnhealthy());
  assert.deepEqual(app.received, []);
  await receiver.whenIdle();
  health.stop();
});

test("where as many wait for the app as may, a call is refused, and takes nothing with it", async () => {
  const limit = new ConcurrencyLimit(1, 1);
  const receiver = receiverOf({ channel: new FakeApp([]), limit });
  await limit.acquire(request.signal);
  const waiting = receiver.receiveOwn(request);
  await assert.rejects(receiver.receive({ ...fromNobody, request }), { code: "ResourceExhausted" });
  limit.release();
  await waiting;
  await isFreeAgain(receiver, limit);
});

/** The one slot of `limit` is free, and nothing is under way; a `whenIdle` that never resolves fails the test. */
async function isFreeAgain(receiver: Receiver, limit: ConcurrencyLimit): Promise<void> {
  assert.equal(await freeSlots(limit), 1);
  await receiver.whenIdle();
}

async function hasFreeSlot(limit: ConcurrencyLimit): Promise<boolean> {
  return (await freeSlots(limit)) > 0;
}

/** How many calls would be admitted at once, ten at most: one that cannot wait is, or is turned away. */
async function freeSlots(limit: ConcurrencyLimit): Promise<number> {
  const wouldNotWait = AbortSignal.abort();
  let taken = 0;
  try {
    for (; taken < 10; taken++) await limit.acquire(wouldNotWait);
  } catch (error) {
    assert.equal(error, wouldNotWait.reason);
  }
  for (let i = 0; i < taken; i++) limit.release();
  return taken;
}

/** Everything that does not wait for something outside has happened. */
async function microtasks(): Promise<void> {
  await new Promise(setImmediate);
}

/** Settles only when the signal fires. */
function rejectionOf(signal: CallSignal | undefined): Promise<void> {
  return new Promise((_, reject) => {
    const leave = (): void => {
      reject(abortReason(signal));
    };
    if (signal?.aborted === true) leave();
    else signal?.addEventListener("abort", { handleEvent: leave });
  });
}

async function textOf(body: Body): Promise<string> {
  let text = "";
  for await (const chunk of body as AsyncIterable<string>) text += chunk;
  return text;
}

test("of gRPC, metadata crosses whole in both parts of an answer, but for what is Outrigger's to say", async () => {
  const head = ["content-type", "application/grpc", "grpc-encoding", "gzip", "x-bin", "AA", "outrigger-error", "lie"];
  const tail = ["grpc-status", "0", "outrigger-error", "lie", "traceparent", "own"];
  const channel: AppChannel = {
    call: () =>
      Promise.resolve({ status: 200, statusText: "", headers: head, body: Buffer.from(""), trailers: () => tail }),
  };
  const { headers, trailers } = await receiverOf({ channel }).receive({
    ...fromNobody,
    request: { ...request, grpc: true },
  });
  assert.deepEqual(headers, head.slice(0, -2));
  assert.deepEqual(trailers?.(), ["grpc-status", "0", "traceparent", "own"]);
});

test("of gRPC, access rules judge the method without a verb, and a denied call is named as daprd names it", async () => {
  const app = new FakeApp([undefined, undefined]);
  const log = new FakeLog();
  const rules = new AccessControl({
    trustDomain: "public",
    defaultAction: "deny",
    policies: [
      {
        caller: fromShop.identity,
        defaultAction: "allow",
        operations: [{ name: "/demo.v1.Echo/Fail", verbs: ["GET"], action: "deny" }],
      },
    ],
  });
  const receiver = receiverOf({ channel: app, access: rules, log });
  const call = (path: string) =>
    receiver.receive({ ...fromShop, request: { ...request, method: "POST", path, grpc: true } });
  await call("/demo.v1.Echo/Unary");
  for (const path of ["/demo.v1.Echo/Fail", "/demo.v1.echo/fail"]) {
    await assert.rejects(
      call(path),
      new CallError(
        "PermissionDenied",
        `access control policy has denied access to id: ${fromShop.identity} operation: ${path} verb: NONE`,
      ),
    );
  }
  assert.equal(app.received.length, 1);
});

test("without a verb, no rule that names verbs is evaded: a deny of any verb is one of the call, in any case", async () => {
  const app = new FakeApp([undefined, undefined]);
  const rules = new AccessControl({
    trustDomain: "public",
    defaultAction: "deny",
    policies: [
      {
        caller: fromShop.identity,
        defaultAction: "allow",
        operations: [
          { name: "/orders/*", verbs: ["DELETE"], action: "deny" },
          { name: "/orders/*", verbs: ["GET"], action: "allow" },
          { name: "/admin", verbs: ["POST", "PUT"], action: "deny" },
        ],
      },
    ],
  });
  const receiver = receiverOf({ channel: app, access: rules });
  const call = (path: string, method = "NONE") =>
    receiver.receive({ ...fromShop, request: { ...request, method, path } });
  for (const path of ["/orders/7", "/Orders/7", "/admin", "/ADMIN", "/x/../admin", "/%61dmin", "/admin/users"]) {
    await assert.rejects(call(path), { code: "PermissionDenied", message: /verb: NONE$/ }, path);
  }
  assert.deepEqual(app.received, []);
  await call("/stock");
  await call("/orders/7", "GET");
  assert.equal(app.received.length, 2);
});

for (const grpc of [true, undefined]) {
  test(`what a gRPC app says behind its answer is its own, and not of a connection (${grpc === true ? "proxied" : "OnInvoke"})`, async () => {
    const trailers = ["grpc-status", "0", "http2-settings", "x", "outrigger-error", "not-this-app", "x-own", "1"];
    const channel: AppChannel = {
      call: () =>
        Promise.resolve({ status: 200, statusText: "", headers: [], body: undefined, trailers: () => trailers }),
    };
    const called = grpc === true ? { ...request, grpc } : request;
    const answers = [
      await receiverOf({ channel }).receive({ ...fromNobody, request: called }),
      await receiverOf({ channel }).receiveOwn(called),
    ];
    for (const answer of answers) assert.deepEqual(answer.trailers?.(), ["grpc-status", "0", "x-own", "1"]);
  });
}

test("what a sidecar says to its own app, nobody else does, not even the app", async () => {
  const app = new FakeApp([undefined]);
  const path = "/dapr.proto.runtime.v1.AppCallback/OnInvoke";
  const refusal = {
    code: "PermissionDenied",
    message: `${path} is for the app's own sidecar alone; use InvokeService to call a method`,
  };
  for (const called of [
    { ...request, path },
    { ...request, path, grpc: true },
  ] as const) {
    const receiver = receiverOf({ channel: app });
    await assert.rejects(receiver.receive({ ...fromNobody, request: called }), refusal);
    await assert.rejects(receiver.receiveOwn(called), refusal);
    await receiver.whenIdle();
  }
  assert.deepEqual(app.received, []);
});

test("of an app that speaks gRPC, access rules judge every call without its verb and with its case, whatever door it came by", async () => {
  const operations = [{ name: "/GetOrder", verbs: ["GET"], action: "allow" }] as const;
  const policies = [{ caller: fromShop.identity, defaultAction: "deny", operations }] as const;
  const rules = new AccessControl({ trustDomain: "public", defaultAction: "deny", policies });
  const isAllowed = async (speaksGrpc: boolean, method: string, path: string): Promise<boolean> => {
    const receiver = receiverOf({ channel: new FakeApp([undefined]), speaksGrpc, access: rules });
    return receiver.receive({ ...fromShop, request: { ...request, method, path } }).then(
      () => true,
      () => false,
    );
  };
  for (const method of ["GET", "POST", "NONE"]) {
    assert.equal(await isAllowed(true, method, "/GetOrder"), true, method);
    assert.equal(await isAllowed(true, method, "/getorder"), false, method);
  }
  assert.equal(await isAllowed(false, "POST", "/GetOrder"), false);
  assert.equal(await isAllowed(false, "GET", "/getorder"), true);
});
