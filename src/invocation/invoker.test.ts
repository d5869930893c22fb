import assert from "node:assert/strict";
import { once } from "node:events";
import { Readable } from "node:stream";
import { test } from "node:test";
import { ManualClock } from "../../test/support/manual-clock.ts";
import type { AppInstance, NameResolver } from "../components/contract/name-resolver.ts";
import { type AppIdentity, parseAppId, parseNamespace } from "../core/app-id.ts";
import type { CallRecord } from "../core/call-observer.ts";
import { abortReason } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";
import { CallError, OutriggerError } from "../core/errors.ts";
import { GRPC_CODE } from "../core/grpc-code.ts";
import { traceBinOf } from "../core/grpc-trace-bin.ts";
import type { Logger } from "../core/logger.ts";
import type { RequestMessage, ResponseMessage } from "../core/message.ts";
import { headerValue } from "../core/raw-headers.ts";
import { spiffeIdOf } from "../core/spiffe-id.ts";
import { ResiliencyPolicies } from "../resiliency/resiliency-policies.ts";
import type { GrpcErrorStatus } from "../resources/configuration.ts";
import { readResiliency } from "../resources/resiliency-spec.ts";
import { parseYaml } from "../resources/yaml-file.ts";
import { ConcurrencyLimit } from "./concurrency-limit.ts";
import { type Invocation, Invoker } from "./invoker.ts";
import type { AppChannel, Neighbour, ReceivedCall, RepeatableBody } from "./ports.ts";
import { Receiver } from "./receiver.ts";
import { StartGate } from "./start-gate.ts";

const ignore = (): void => undefined;
const silent: Logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };
const self = app("front", "prod");
const math = app("math", "prod");
const TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const unreachable = new CallError("Unavailable", "cannot reach the sidecar of math at http://127.0.0.1:1: gone");

interface WorldOptions {
  /** What the resolver finds, look by look; the last answer stays. */
  readonly found?: readonly (readonly AppInstance[])[];
  /** What the peers do, call by call; beyond it they answer 200. */
  readonly peerErrors?: readonly Error[];
  /** The same, with statuses. */
  readonly peerAnswers?: readonly (Error | number)[];
  readonly neighbour?: Neighbour;
  readonly ownApp?: AppChannel | undefined;
  readonly preservePath?: boolean;
  readonly grpcErrorStatus?: GrpcErrorStatus;
  readonly worthAskingAgain?: boolean;
  readonly safeRetries?: boolean;
  readonly policies?: ResiliencyPolicies;
}

/** @param spec of a Resiliency document. */
function policiesOf(spec: string): ResiliencyPolicies {
  const yaml = `{apiVersion: dapr.io/v1alpha1, kind: Resiliency, metadata: {name: r}, spec: ${spec}}`;
  return new ResiliencyPolicies({
    specs: parseYaml(yaml, "r.yaml").map(readResiliency),
    compileTrip: () => () => false,
    clock: new ManualClock(),
  });
}

/** An invoker among fakes that note what it does with them. */
function world({
  found = [[instance("a")]],
  peerErrors = [],
  peerAnswers = peerErrors,
  ownApp,
  neighbour,
  preservePath = false,
  grpcErrorStatus = "fixed",
  worthAskingAgain = true,
  safeRetries = false,
  policies,
}: WorldOptions) {
  const seen = {
    slept: [] as number[],
    resolved: [] as AppIdentity[],
    unreachable: [] as string[],
    peerCalls: [] as { readonly instanceId: string; readonly request: RequestMessage }[],
    records: [] as CallRecord[],
  };
  const clock: Clock = {
    now: () => 0,
    monotonic: () => 1000 + seen.slept.reduce((sum, ms) => sum + ms, 0),
    sleep: (ms, signal) => {
      if (signal?.aborted === true) return Promise.reject(abortReason(signal));
      seen.slept.push(ms);
      return Promise.resolve();
    },
  };
  const resolver: NameResolver = {
    staleMs: 0,
    worthAskingAgain,
    description: "the registry at HOME",
    start: () => Promise.resolve(),
    announce: () => Promise.reject(new Error("nobody was to be announced")),
    resolve: (asked) => {
      seen.resolved.push(asked);
      return Promise.resolve(found[Math.min(seen.resolved.length, found.length) - 1] ?? []);
    },
    reportUnreachable: ({ instanceId }) => seen.unreachable.push(instanceId),
    close: () => Promise.resolve(),
  };
  const invoker = new Invoker({
    self,
    identity: spiffeIdOf("public", self),
    host: { address: "10.0.0.7", hostname: "vm" },
    receiver: new Receiver({
      channel: ownApp,
      speaksGrpc: false,
      limit: new ConcurrencyLimit(0, 10),
      gate: new StartGate(clock, 0),
      health: undefined,
      limitBody: (request) => request,
      access: undefined,
      log: silent,
    }),
    neighbours: { find: (asked) => (asked.id === math.id ? neighbour : undefined) },
    peers: {
      call: ({ instanceId }, request) => {
        const answer = peerAnswers[seen.peerCalls.length] ?? 200;
        seen.peerCalls.push({ instanceId, request });
        return typeof answer === "number" ? Promise.resolve(answered(answer)) : Promise.reject(answer);
      },
    },
    resolver,
    observer: { callEnded: (call) => seen.records.push(call) },
    clock,
    preservePath,
    rules: { endpoints: new Map(), policies, appPipeline: undefined },
    endpointCaller: { call: () => Promise.reject(new Error("no endpoint")) },
    safeRetries,
    grpcErrorStatus,
  });
  return { ...seen, invoke: (changes: Partial<Invocation> = {}) => invoker.invoke({ ...invocation, ...changes }) };
}

const invocation: Invocation = {
  target: "math",
  rawPath: "/add",
  methodMissing: false,
  method: "POST",
  query: "x=1&y=%2F",
  headers: ["Content-Type", "application/json", "Connection", "close", "dapr-caller-app-id", "liar"],
  trace: { traceparent: TRACEPARENT, answeredTraceparent: TRACEPARENT, tracestate: undefined, baggage: undefined },
  body: Buffer.from("{}"),
  contentLength: 2,
  signal: new AbortController().signal,
};

test("a call to another app carries the request, who calls whom, and the trace", async () => {
  const { invoke, peerCalls, resolved } = world({});
  assert.equal((await invoke()).status, 200);
  assert.deepEqual(resolved, [math]);
  const { headers, ...request } = peerCalls[0]?.request ?? assert.fail("nobody was called");
  assert.deepEqual(request, {
    method: "POST",
    path: "/add",
    query: "x=1&y=%2F",
    body: Buffer.from("{}"),
    contentLength: 2,
    signal: invocation.signal,
  });
  assert.deepEqual(headers, [
    ...["Content-Type", "application/json", "Traceparent", TRACEPARENT],
    ...["Dapr-Caller-App-Id", "front", "Dapr-Caller-Namespace", "prod", "Dapr-Callee-App-Id", "math"],
    ...["X-Forwarded-For", "10.0.0.7", "X-Forwarded-Host", "vm", "Forwarded", "for=10.0.0.7;by=10.0.0.7;host=vm"],
  ]);
});

test("a call to oneself reaches the own app without caller headers, and asks no resolver", async () => {
  const received: RequestMessage[] = [];
  const ownApp: AppChannel = {
    call: (request) => {
      received.push(request);
      return Promise.resolve(answered(201));
    },
  };
  const { invoke, resolved, peerCalls } = world({ ownApp });
  assert.equal((await invoke({ target: "front.prod" })).status, 201);
  assert.deepEqual(received[0]?.headers, ["Content-Type", "application/json", "Traceparent", TRACEPARENT]);
  assert.deepEqual([resolved, peerCalls], [[], []]);
});

test("an instance in the same process is called without a hop", async () => {
  const received: ReceivedCall[] = [];
  const neighbour: Neighbour = {
    instanceId: "a",
    receive: (call) => {
      received.push(call);
      return Promise.resolve(answered(202));
    },
  };
  const { invoke, peerCalls } = world({ neighbour });
  assert.equal((await invoke()).status, 202);
  assert.deepEqual(received[0]?.caller, self);
  assert.equal(received[0].identity, "spiffe://public/ns/prod/front");
  assert.equal(headerValue(received[0].request.headers, "dapr-caller-app-id"), "front");
  assert.deepEqual(peerCalls, []);
});

test("another instance of an app that this process has too is called where it is", async () => {
  const neighbour: Neighbour = { instanceId: "other", receive: () => assert.fail("the wrong instance was called") };
  const { invoke, peerCalls } = world({ neighbour });
  await invoke();
  assert.deepEqual(idsOf(peerCalls), ["a"]);
});

test("the status of the callee goes back, whatever it is, and is not retried", async () => {
  const ownApp: AppChannel = { call: () => Promise.resolve(answered(503)) };
  const { invoke, slept } = world({ ownApp });
  assert.equal((await invoke({ target: "front" })).status, 503);
  assert.deepEqual(slept, []);
});

test("calls take turns over the instances", async () => {
  const { invoke, peerCalls } = world({ found: [[instance("a"), instance("b")]] });
  for (let i = 0; i < 4; i++) await invoke();
  assert.deepEqual(idsOf(peerCalls), ["a", "b", "a", "b"]);
});

test("an instance that cannot be reached is reported, and the next one is called without waiting", async () => {
  const {
    invoke,
    peerCalls,
    slept,
    unreachable: reported,
  } = world({
    found: [[instance("a"), instance("b"), instance("c")]],
    peerErrors: [unreachable, unreachable],
  });
  assert.equal((await invoke()).status, 200);
  assert.deepEqual(idsOf(peerCalls), ["a", "b", "c"]);
  assert.deepEqual(reported, ["a", "b"]);
  assert.deepEqual(slept, []);
});

test("where no instance can be reached, they are looked for and called again, a second later", async () => {
  const { invoke, peerCalls, slept, resolved } = world({
    found: [[instance("a")], [instance("b")]],
    peerErrors: [unreachable],
  });
  assert.equal((await invoke()).status, 200);
  assert.deepEqual(idsOf(peerCalls), ["a", "b"]);
  assert.deepEqual(slept, [1000]);
  assert.equal(resolved.length, 2);
});

test("a callee that leaves between two tries is as unavailable as it was", async () => {
  const { invoke, peerCalls } = world({ found: [[instance("a")], []], peerErrors: [unreachable] });
  await assert.rejects(
    invoke(),
    ({ cause, message }: Error) => cause === unreachable && message.includes("cannot reach the sidecar of math"),
  );
  assert.equal(peerCalls.length, 1);
});

test("with safeRetries, a POST goes to the next instance only where this one has got nothing of it; a PUT in any case", async () => {
  const reached = new CallError("Unavailable", "the connection broke");
  const notReached = new CallError("Unavailable", "connection refused", { nothingSent: true });
  const found = [[instance("a"), instance("b")]];
  const triesOf = async (error: CallError, changes: Partial<Invocation>): Promise<number> => {
    const { invoke, peerCalls } = world({ found, peerErrors: [error], safeRetries: true });
    await invoke(changes).catch(ignore);
    return peerCalls.length;
  };
  assert.equal(await triesOf(reached, {}), 1);
  assert.equal(await triesOf(notReached, {}), 2);
  assert.equal(await triesOf(new CallError("Unavailable", "no", { cause: notReached }), {}), 2);
  assert.equal(await triesOf(reached, { method: "PUT" }), 2);
  assert.equal(await triesOf(reached, { headers: ["Idempotency-Key", "1"] }), 2);
});

for (const [codes, tries] of [
  ["14", 5],
  ["13,14", 5],
  ["1-13", 1],
] as const) {
  test(`built-in retries that match the codes ${codes} are tried ${tries} times in all where nobody can be reached`, async () => {
    const retries = `{DaprBuiltInServiceRetries: {duration: 7ms, maxRetries: 4, matching: {gRPCStatusCodes: "${codes}"}}}`;
    const policies = policiesOf(`{policies: {retries: ${retries}}}`);
    const { invoke, peerCalls, slept } = world({ policies, peerErrors: Array.from({ length: 9 }, () => unreachable) });
    await assert.rejects(invoke(), tries === 1 ? /err: rpc error: code = Unavailable/ : /after 4 retries/);
    assert.equal(peerCalls.length, tries);
    assert.deepEqual(slept, new Array(tries - 1).fill(7));
  });
}

test("after three retries the caller is told, in daprd's words, of the last failure", async () => {
  const { invoke, peerCalls, slept } = world({ peerErrors: Array.from({ length: 9 }, () => unreachable) });
  await rejects(
    invoke(),
    "invocationFailed",
    `failed to invoke, id: math, err: failed to invoke target math.prod after 3 retries. Error: rpc error: code = Unavailable desc = ${unreachable.message}`,
  );
  assert.equal(peerCalls.length, 4);
  assert.deepEqual(slept, [1000, 1000, 1000]);
});

for (const error of [new CallError("Internal", "error invoking app channel: no"), new CallError(undefined, "plain")]) {
  test(`a callee that was reached and failed is not called again: ${error}`, async () => {
    const {
      invoke,
      peerCalls,
      unreachable: reported,
    } = world({
      found: [[instance("a"), instance("b")]],
      peerErrors: [error],
    });
    await rejects(invoke(), "invocationFailed", `failed to invoke, id: math, err: ${error}`);
    assert.deepEqual(idsOf(peerCalls), ["a"]);
    assert.deepEqual(reported, []);
  });
}

test("a call that access control denies is forbidden", async () => {
  const { invoke } = world({ peerErrors: [new CallError("PermissionDenied", "access control policy has denied it")] });
  await rejects(
    invoke(),
    "invocationForbidden",
    "failed to invoke, id: math, err: rpc error: code = PermissionDenied desc = access control policy has denied it",
  );
});

test("a stream that has been read is not sent a second time, to this instance or another", async () => {
  const body = Readable.from(["x"]);
  await once(body, "readable");
  body.read();
  const {
    invoke,
    peerCalls,
    unreachable: reported,
  } = world({
    found: [[instance("a"), instance("b")]],
    peerErrors: [unreachable],
  });
  await rejects(
    invoke({ body, contentLength: undefined }),
    "invocationFailed",
    `failed to invoke, id: math, err: ${unreachable}`,
  );
  assert.deepEqual(idsOf(peerCalls), ["a"]);
  assert.deepEqual(reported, ["a"]);
});

for (const [what, makeBody] of [
  ["bytes", () => Buffer.from("x")],
  ["a stream", () => Readable.from(["x"])],
] as const) {
  test(`a body of unknown length, ${what}, is sent again only where nobody has answered`, async () => {
    const retries = "{policies: {retries: {r: {maxRetries: 2}}}, targets: {apps: {math: {retry: r}}}}";
    const triesOf = async (answer: CallError | number, contentLength: number | undefined): Promise<number> => {
      const peerAnswers = [answer, answer, answer];
      const { invoke, peerCalls } = world({ policies: policiesOf(retries), peerAnswers });
      await invoke({ body: makeBody(), contentLength }).catch(ignore);
      return peerCalls.length;
    };
    const [broken, refused] = [
      new CallError(undefined, "reset"),
      new CallError(undefined, "no", { nothingSent: true }),
    ];
    const tries = (contentLength: number | undefined): Promise<number[]> =>
      Promise.all([503, broken, refused, unreachable].map((answer) => triesOf(answer, contentLength)));
    assert.deepEqual(await tries(1), [3, 3, 3, 3]);
    assert.deepEqual(await tries(undefined), [1, 1, 3, 3]);
  });
}

test("a stream that nobody has read yet is sent to the next instance", async () => {
  const body = Readable.from(["x"]);
  const { invoke, peerCalls } = world({ found: [[instance("a"), instance("b")]], peerErrors: [unreachable] });
  await invoke({ body, contentLength: 1 });
  assert.deepEqual(
    peerCalls.map(({ instanceId, request }) => [instanceId, request.body]),
    [
      ["a", body],
      ["b", body],
    ],
  );
});

test("an app that nobody knows is looked for six times, 100 ms apart, before the caller is told where", async () => {
  const { invoke, resolved, slept } = world({ found: [[]] });
  await rejects(
    invoke({ target: "ghost.testing" }),
    "invocationFailed",
    'failed to invoke, id: ghost.testing, err: no host found with the given ID: app "ghost" in namespace "testing" is not in the registry at HOME; is it running?',
  );
  assert.equal(resolved.length, 6);
  assert.deepEqual(slept, [100, 100, 100, 100, 100]);
});

test("a resolver that has nothing new to say is asked once", async () => {
  const { invoke, resolved, slept } = world({ found: [[]], worthAskingAgain: false });
  await rejects(invoke({ target: "ghost" }), "invocationFailed", /no host found with the given ID: app "ghost"/);
  assert.deepEqual([resolved.length, slept], [1, []]);
});

test("an app that starts while it is looked for is called", async () => {
  const { invoke, slept, peerCalls } = world({ found: [[], [], [instance("a")]] });
  assert.equal((await invoke()).status, 200);
  assert.deepEqual(slept, [100, 100]);
  assert.deepEqual(idsOf(peerCalls), ["a"]);
});

test("a caller that has gone is not waited for", async () => {
  const { invoke, resolved, peerCalls } = world({ found: [[]] });
  await assert.rejects(invoke({ signal: AbortSignal.abort(new Error("gone")) }), /gone/);
  assert.equal(resolved.length, 1);
  assert.deepEqual(peerCalls, []);
});

for (const target of ["math", "front"]) {
  test(`an empty method name is refused with 400 before anybody is called: ${target}`, async () => {
    const { invoke, resolved } = world({});
    await rejects(invoke({ target, rawPath: "/", methodMissing: true }), "methodNameNotGiven", /method name not given/);
    assert.deepEqual(resolved, []);
  });
}

test("a URL without a path is no missing method: it is the root of that host", async () => {
  const { invoke } = world({});
  await rejects(
    invoke({ target: "http://example.org", rawPath: "/", methodMissing: true }),
    "invocationFailed",
    "failed to invoke, id: http://example.org, err: no endpoint",
  );
});

for (const rawPath of ["/", "/.", "//", "/%2F", "/a/.."]) {
  test(`"${rawPath}" is the root where no method is missing`, async () => {
    const { invoke, peerCalls } = world({});
    await invoke({ rawPath, methodMissing: false });
    assert.equal(peerCalls[0]?.request.path, "/");
  });
}

test("a path that no method may have is refused before anybody is called", async () => {
  const { invoke, resolved } = world({});
  await rejects(
    invoke({ rawPath: "/a%23b" }),
    "invocationFailed",
    'failed to invoke, id: math, err: rpc error: code = InvalidArgument desc = invalid method: method contains forbidden character: "a#b"',
  );
  assert.deepEqual(resolved, []);
});

test("a query that no request line can have is refused before anybody is called, and one that must be is escaped", async () => {
  const { invoke, resolved, peerCalls } = world({});
  await rejects(
    invoke({ query: "a HTTP/1.1\r\nHost: x\r\n\r\nDELETE /admin" }),
    "invocationFailed",
    "failed to invoke, id: math, err: rpc error: code = InvalidArgument desc = invalid query: it contains a control character at position 10",
  );
  assert.deepEqual(resolved, []);
  await invoke({ query: "a b" });
  assert.equal(peerCalls[0]?.request.query, "a%20b");
});

test("the path is cleaned, unless the Configuration preserves it", async () => {
  const [cleaned, preserved] = [world({}), world({ preservePath: true })];
  await cleaned.invoke({ rawPath: "/a//b%2Fc/" });
  await preserved.invoke({ rawPath: "/a//b%2Fc/" });
  assert.equal(cleaned.peerCalls[0]?.request.path, "/a/b/c");
  assert.equal(preserved.peerCalls[0]?.request.path, "/a//b%2Fc/");
});

for (const method of ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"]) {
  test(`${method} reaches the app as it is`, async () => {
    const { invoke, peerCalls } = world({});
    await invoke({ method });
    assert.equal(peerCalls[0]?.request.method, method);
  });
}

test("a verb that Dapr has no number for becomes POST", async () => {
  const { invoke, peerCalls } = world({});
  await invoke({ method: "PROPFIND" });
  assert.equal(peerCalls[0]?.request.method, "POST");
});

test("CONNECT is refused", async () => {
  const { invoke, peerCalls } = world({});
  await rejects(invoke({ method: "CONNECT" }), "invocationFailed", /code = InvalidArgument/);
  assert.deepEqual(peerCalls, []);
});

test("a target with three parts is refused in daprd's words", async () => {
  const { invoke } = world({});
  await rejects(
    invoke({ target: "a.b.c" }),
    "invocationFailed",
    "failed to invoke, id: a.b.c, err: invalid app id a.b.c",
  );
});

test("an id that would break the text about it is shown, and does not", async () => {
  const { invoke } = world({});
  const shown = "math\\r\\nHTTP";
  const text = `failed to invoke, id: ${shown}, err: invalid app id ${shown}`;
  await rejects(invoke({ target: "math\r\nHTTP" }), "invocationFailed", text);
});

test("every call that was answered is told to the observer, with its time and its trace", async () => {
  const { invoke, records } = world({ peerErrors: [unreachable] });
  await invoke();
  assert.deepEqual(records, [
    {
      direction: "sent",
      caller: self,
      target: "math",
      method: "POST",
      path: "/add",
      status: 200,
      durationMs: 1000,
      traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
      error: undefined,
    },
  ]);
});

test("a call that was not answered is told with what the caller was told", async () => {
  const { invoke, records } = world({});
  const trace = { ...invocation.trace, traceparent: "zz" };
  await assert.rejects(invoke({ rawPath: "/", methodMissing: true, target: "math.prod", trace }));
  assert.deepEqual(records, [
    {
      direction: "sent",
      caller: self,
      target: "math.prod",
      method: "POST",
      path: "/",
      status: 400,
      durationMs: 0,
      traceId: undefined,
      error:
        "failed to invoke, id: math.prod, err: method name not given; put it after /method/, or call /method/. for the root",
    },
  ]);
});

async function rejects(call: Promise<unknown>, kind: OutriggerError["kind"], message: string | RegExp): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof OutriggerError, String(error));
    assert.equal(error.kind, kind);
    if (typeof message === "string") assert.equal(error.message, message);
    else assert.match(error.message, message);
    return true;
  });
}

function idsOf(calls: readonly { readonly instanceId: string }[]): string[] {
  return calls.map(({ instanceId }) => instanceId);
}

function answered(status: number): ResponseMessage {
  return { status, statusText: "", headers: [], body: undefined };
}

function instance(instanceId: string): AppInstance {
  return { app: math, instanceId, host: "127.0.0.1", port: 1, wire: "lean" };
}

function app(id: string, namespace: string): AppIdentity {
  return { id: parseAppId(id), namespace: parseNamespace(namespace) };
}

const grpcCall = {
  rawPath: "/demo.v1.Echo/Unary",
  query: undefined,
  headers: ["Host", "x", "content-type", "application/grpc", "grpc-encoding", "gzip", "dapr-app-id", "math"],
  body: undefined,
  contentLength: undefined,
  grpc: true,
} as const;

/** A body that can be opened so often. */
function repeatable(times: number): RepeatableBody & { readonly opened: Readable[]; kept: boolean } {
  const opened: Readable[] = [];
  return {
    opened,
    kept: true,
    isUntouched: false,
    get canRepeat() {
      return opened.length < times;
    },
    open() {
      opened.push(new Readable({ read: ignore }));
      return opened.at(-1);
    },
    keepNoMore() {
      this.kept = false;
    },
  };
}

test("a gRPC call to another app keeps its metadata and its path, and says who calls and in which trace", async () => {
  const { invoke, peerCalls } = world({ preservePath: false });
  const deadline = 5000;
  await invoke({ ...grpcCall, deadline });
  const { headers, ...request } = peerCalls[0]?.request ?? assert.fail("nobody was called");
  assert.deepEqual(
    [request.path, request.query, request.method, request.grpc, request.deadline],
    ["/demo.v1.Echo/Unary", undefined, "POST", true, deadline],
  );
  assert.deepEqual(headers, [
    ...["content-type", "application/grpc", "grpc-encoding", "gzip"],
    ...["dapr-caller-app-id", "front", "dapr-callee-app-id", "math"],
    ...["traceparent", TRACEPARENT, "grpc-trace-bin", traceBinOf(TRACEPARENT)],
  ]);
});

test("a gRPC call of an app to itself carries its metadata and nothing else", async () => {
  const received: RequestMessage[] = [];
  const ownApp: AppChannel = {
    call: (request) => {
      received.push(request);
      return Promise.resolve({ ...answered(200), trailers: () => ["grpc-status", "0"] });
    },
  };
  const { invoke } = world({ ownApp });
  await invoke({ ...grpcCall, target: "front", headers: [...grpcCall.headers, "traceparent", "zz"] });
  assert.deepEqual(received[0]?.headers, [
    ...["content-type", "application/grpc", "grpc-encoding", "gzip", "traceparent", "zz"],
  ]);
});

test("a gRPC call is made again from its beginning, for as long as that is kept", async () => {
  const body = repeatable(2);
  const { invoke, peerCalls, slept } = world({ peerErrors: [unreachable, unreachable] });
  await assert.rejects(invoke({ ...grpcCall, repeatable: body }), { cause: unreachable });
  assert.deepEqual(
    peerCalls.map(({ request }) => request.body),
    body.opened,
  );
  assert.deepEqual([peerCalls.length, slept.length, body.kept], [2, 1, true]);
  const answeredBody = repeatable(2);
  const again = world({ peerErrors: [unreachable] });
  await again.invoke({ ...grpcCall, repeatable: answeredBody });
  assert.deepEqual([again.peerCalls.length, answeredBody.kept], [2, false]);
});

test("a gRPC call is told of at its end, with its status", async () => {
  const body = new Readable({ read: ignore });
  let trailers: string[] = [];
  const ownApp: AppChannel = { call: () => Promise.resolve({ ...answered(200), body, trailers: () => trailers }) };
  const { invoke, records } = world({ ownApp });
  await invoke({ ...grpcCall, target: "front" });
  assert.equal(records.length, 0);
  trailers = ["grpc-status", "5"];
  body.push(null);
  body.resume();
  await once(body, "close");
  assert.deepEqual([records[0]?.grpcStatus, records[0]?.error], [GRPC_CODE.NOT_FOUND, undefined]);
});

test("a gRPC call that breaks off, or never reaches its app, is told of with what its caller is told", async () => {
  const body = new Readable({ read: ignore });
  const ownApp: AppChannel = { call: () => Promise.resolve({ ...answered(200), body, trailers: () => [] }) };
  const { invoke, records } = world({ ownApp });
  await invoke({ ...grpcCall, target: "front" });
  body.on("error", ignore);
  const closed = new Promise((resolve) => body.once("close", resolve));
  body.destroy(new Error("the connection is lost"));
  await closed;
  assert.deepEqual([records[0]?.grpcStatus, records[0]?.error], [GRPC_CODE.UNAVAILABLE, "the connection is lost"]);
  const alone = world({ peerErrors: [new CallError("PermissionDenied", "no")] });
  await assert.rejects(alone.invoke(grpcCall));
  assert.equal(alone.records[0]?.grpcStatus, GRPC_CODE.PERMISSION_DENIED);
});
