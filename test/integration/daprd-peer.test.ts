import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import net, { type AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, describe, type TestContext, test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { status as GRPC, Metadata, type StatusObject } from "@grpc/grpc-js";
import { HTTPExtension_Verb } from "../../src/gen/dapr/proto/common/v1/common_pb.ts";
import { InternalInvokeRequestStreamSchema } from "../../src/gen/dapr/proto/internals/v1/service_invocation_pb.ts";
import { callUnary, daprClient } from "../golden/grpc-client.ts";
import type { TestScope } from "../support/cleanup.ts";
import {
  answerOk,
  DaprdCaller,
  type DaprdPeer,
  outcomeOf,
  type ReceivedStream,
  requestFor,
  type ServerStream,
  send,
  startDaprdPeer,
} from "../support/daprd-peer.ts";
import { residentMiB } from "../support/memory.ts";
import { ownMachine } from "../support/network.ts";
import { ROOT } from "../support/outrigger.ts";
import { folderWith, ownHome, type RunningApp, startBeside } from "../support/processes.ts";
import { beginRaw, connectRaw, frame } from "../support/raw-grpc.ts";
import { startInTestApp } from "../support/raw-http-app.ts";
import { waitFor } from "../support/wait.ts";

/** daprd's own calls between sidecars: a stand-in daprd calls apps behind Outrigger, and is called by it. */

const MB = 1024 * 1024;

interface Spec {
  readonly nameResolution?: unknown;
  readonly accessControl?: unknown;
}

function configuration(t: TestScope, spec: Spec): string {
  const document = { apiVersion: "dapr.io/v1alpha1", kind: "Configuration", metadata: { name: "c" }, spec };
  return join(folderWith(t, { "config.yaml": JSON.stringify(document) }), "config.yaml");
}

/** An Outrigger without an app whose table leads `math` there. */
async function startCaller(t: TestScope, address: string, more: readonly string[] = []): Promise<RunningApp> {
  const nameResolution = { component: "static", configuration: { math: address } };
  const flags = ["--config", configuration(t, { nameResolution }), ...more];
  return startBeside(t, "caller", undefined, { home: ownHome(t), flags });
}

async function startCallee(t: TestScope, appPort: number, flags: readonly string[] = []): Promise<RunningApp> {
  return startBeside(t, "math", appPort, { home: ownHome(t), flags });
}

function internal({ listed }: RunningApp): string {
  return `127.0.0.1:${listed.internalPort}`;
}

function urlOf({ api }: RunningApp, path = "x"): string {
  return `${api}/v1.0/invoke/math/method/${path}`;
}

type AppAnswer = (request: http.IncomingMessage, response: http.ServerResponse) => void;

/** Sends back what it gets, as it comes. */
const echoBody: AppAnswer = (request, response) => {
  response.writeHead(200, { "Content-Type": "application/octet-stream" });
  request.pipe(response);
  request.on("error", () => response.destroy());
};

interface App {
  readonly port: number;
  /** The paths it was asked for, in order. */
  readonly begun: string[];
}

/** @param answers by the path; any other is answered `ok`. */
async function startApp(t: TestScope, answers: Readonly<Record<string, AppAnswer>>): Promise<App> {
  const begun: string[] = [];
  const server = http.createServer((request, response) => {
    const path = request.url ?? "";
    begun.push(path);
    const answer = answers[path];
    if (answer === undefined) response.end("ok");
    else answer(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { port: (server.address() as AddressInfo).port, begun };
}

/** What is started once for all tests of a suite, and ended with it. */
function suiteScope(): TestScope {
  const cleanups: (() => unknown)[] = [];
  after(async () => {
    for (const cleanup of cleanups) await cleanup();
  });
  return { after: (fn) => cleanups.unshift(fn) };
}

/** What each of the calls in {@link standsStill} carries: more than lies in the buffers of a connection. */
const MUCH = Buffer.alloc(2 * MB);

/**
 * Waits until `count` grows no more: not while ten calls, one after the other, have carried {@link MUCH} the same way. What is
 * not held back gets its share beside them.
 */
async function standsStill(count: () => number, carryMuch: () => Promise<unknown>): Promise<void> {
  let last = -1;
  for (let calls = 0; calls < 10; calls++) {
    if (count() !== last) calls = 0;
    last = count();
    await carryMuch();
  }
}

describe("Outrigger calls a daprd", { concurrency: 2, timeout: 240_000 }, () => {
  const scope = suiteScope();
  const ways = new Map<string, (call: ServerStream, received: ReceivedStream) => void>();
  let peer: DaprdPeer;
  let caller: RunningApp;

  before(async () => {
    peer = await startDaprdPeer(scope, {
      stream: (call, received) => {
        const way = ways.get(methodOf(received) ?? "") ?? answerOk;
        way(call, received);
      },
    });
    caller = await startCaller(scope, peer.address, ["--max-body-size", "16Mi"]);
  });

  /** What the daprd does when a test calls its own `method`. */
  function daprdThat(
    method: string,
    way: (call: ServerStream) => void,
  ): { readonly url: string; readonly calls: () => ReceivedStream[] } {
    ways.set(method, way);
    return {
      url: urlOf(caller, method),
      calls: () => peer.streams.filter((received) => methodOf(received) === method),
    };
  }

  test("whose answer comes back with status, headers and body, whatever its status is", async () => {
    const { url } = daprdThat("status", (call) => {
      send(call, {
        response: {
          status: { code: 404 },
          headers: { "X-App": { values: ["1", "2"] }, "Content-Type": { values: ["text/plain"] } },
          message: { contentType: "text/plain" },
        },
        payload: { data: Buffer.from("not ") },
      });
      send(call, { payload: { data: Buffer.from("here"), seq: 1n } });
      call.end();
    });
    const response = await fetch(url);
    assert.deepEqual([response.status, await response.text()], [404, "not here"]);
    assert.deepEqual([response.headers.get("x-app"), response.headers.get("content-type")], ["1, 2", "text/plain"]);
  });

  test("whose trailers no HTTP/2 could carry: the caller gets the answer, and the sidecar goes on", async (t) => {
    const trailers = { "http2-settings": { values: ["x"] }, "proxy-connection": { values: ["x"] } };
    const peer = await startDaprdPeer(t, {
      stream: (call) => {
        send(call, { response: { status: { code: 0 }, trailers, message: {} } });
        call.end();
      },
    });
    const { listed } = await startCaller(t, peer.address);
    const client = daprClient(t, `127.0.0.1:${listed.grpcPort}`);
    for (let calls = 0; calls < 2; calls++) {
      const { err } = await callUnary(
        client,
        "InvokeService",
        { id: "math", message: { method: "x" } },
        new Metadata(),
      );
      assert.equal(err, null);
    }
  });

  test("with 5 MB each way, streamed", async () => {
    const { url, calls } = daprdThat("echo", echo);
    const body = Buffer.alloc(5 * MB, "0123456789");
    const response = await fetch(url, { method: "POST", body });
    assert.equal(response.status, 200);
    assert.ok(Buffer.from(await response.arrayBuffer()).equals(body));
    const chunked = await fetch(url, { method: "POST", body: new Blob([body]).stream(), duplex: "half" });
    assert.ok(Buffer.from(await chunked.arrayBuffer()).equals(body));
    const sizes = calls().flatMap(({ messages }) => messages.map(({ payload }) => payload?.data.length ?? 0));
    assert.ok(Math.max(...sizes) <= 64 * 1024, "no piece is larger than 64 KB");
  });

  // Each of the two has processes of its own, whose memory is measured.
  test("that does not read, which holds the caller back", async (t) => {
    const { address } = await startDaprdPeer(t, {
      stream: (call, received) => {
        if (methodOf(received) === "deaf") call.pause();
        else answerOk(call);
      },
    });
    const { outrigger, api } = await startCaller(t, address, ["--max-body-size", "1Gi"]);
    const before = residentMiB(outrigger.pid);
    const url = `${api}/v1.0/invoke/math/method/`;
    const request = http.request(`${url}deaf`, { method: "POST", headers: { "Transfer-Encoding": "chunked" } });
    request.on("error", () => undefined);
    t.after(() => request.destroy());
    let sent = 0;
    const piece = Buffer.alloc(64 * 1024);
    const more = (): void => {
      while (sent < 400 * MB) {
        sent += piece.length;
        if (!request.write(piece)) return;
      }
    };
    request.on("drain", more);
    more();
    await standsStill(
      () => sent,
      async () => (await fetch(`${url}much`, { method: "POST", body: MUCH })).text(),
    );
    assert.ok(sent < 100 * MB, `${sent} bytes went to a peer that does not read`);
    assert.ok(residentMiB(outrigger.pid) - before < 100);
  });

  test("whose answer nobody reads, which holds the daprd back", async (t) => {
    let sent = 0;
    const { address } = await startDaprdPeer(t, {
      stream: (call, received) => {
        if (methodOf(received) !== "flood") {
          answerMuch(call);
          return;
        }
        let seq = 0n;
        const more = (): void => {
          while (sent < 400 * MB) {
            const payload = { data: Buffer.alloc(64 * 1024), seq: seq++ };
            sent += payload.data.length;
            if (!send(call, seq === 1n ? { response: { status: { code: 200 } }, payload } : { payload })) return;
          }
          call.end();
        };
        call.on("drain", more);
        more();
      },
    });
    const { outrigger, api } = await startCaller(t, address);
    const before = residentMiB(outrigger.pid);
    const url = `${api}/v1.0/invoke/math/method/`;
    const request = http.get(`${url}flood`);
    request.on("error", () => undefined);
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    response.pause();
    await standsStill(
      () => sent,
      async () => (await fetch(`${url}much`)).text(),
    );
    assert.ok(sent < 100 * MB, `${sent} bytes went to a caller that does not read`);
    assert.ok(residentMiB(outrigger.pid) - before < 100);
    request.destroy();
  });

  for (const [what, status, expected] of [
    ["PermissionDenied is 403", { code: GRPC.PERMISSION_DENIED, details: "access control policy has denied" }, 403],
    ["Internal is 500", { code: GRPC.INTERNAL, details: "error invoking app channel: gone" }, 500],
    ["NotFound is 500", { code: GRPC.NOT_FOUND, details: "no such thing" }, 500],
  ] as const) {
    test(`whose error is told in its words: ${what}`, async () => {
      const { url, calls } = daprdThat(`error-${status.code}`, (call) => {
        failWith(call, status);
      });
      const response = await fetch(url);
      const { errorCode, message } = (await response.json()) as { errorCode: string; message: string };
      assert.deepEqual([response.status, errorCode], [expected, "ERR_DIRECT_INVOKE"]);
      assert.match(message, new RegExp(`rpc error: code = \\w+ desc = ${status.details}`));
      assert.equal(calls().length, 1);
    });
  }

  test("that is Unavailable, again", async () => {
    let tries = 0;
    const { url } = daprdThat("unavailable", (call) => {
      if (tries++ === 0) failWith(call, { code: GRPC.UNAVAILABLE, details: "not yet" });
      else answerOk(call);
    });
    const response = await fetch(url);
    assert.deepEqual([response.status, await response.text()], [200, '{"ok":1}']);
    assert.equal(tries, 2);
  });

  test("that ends the call without a first chunk, with one that says nothing, or with a wrong number: errors", async () => {
    const endings: ((call: ServerStream) => void)[] = [
      (call) => call.end(),
      (call) => {
        send(call, { payload: { data: Buffer.from("x") } });
        call.end();
      },
      (call) => {
        send(call, { response: { status: { code: 200 } }, payload: { data: Buffer.from("x"), seq: 3n } });
        call.end();
      },
    ];
    const texts = [
      /required fields in the leading chunk/,
      /required fields in the leading/,
      /received: 3 \(expected: 0/,
    ];
    let at = 0;
    const { url, calls } = daprdThat("ending", (call) => endings[at]?.(call));
    for (; at < endings.length; at++) {
      const response = await fetch(url);
      assert.equal(response.status, 500);
      assert.match(await response.text(), texts[at] ?? /^$/);
    }
    assert.equal(calls().length, 3, "none of them is called again");
  });

  test("that breaks off in its answer: the caller's answer breaks off too", async (t) => {
    const dying = await startDaprdPeer(t, {
      stream: (call) => {
        send(call, { response: { status: { code: 200 } }, payload: { data: Buffer.alloc(200_000) } });
      },
    });
    const response = await fetch(urlOf(await startCaller(t, dying.address)));
    const reader = response.body?.getReader();
    await reader?.read();
    dying.kill();
    await assert.rejects(async () => {
      for (;;) if ((await reader?.read())?.done === true) return;
    });
  });

  test("that knows CallLocal alone gets bodies that are there; a stream it cannot get is an error", async (t) => {
    const older = await startDaprdPeer(t, {
      stream: "unknown",
      unary: ({ message }) => ({
        status: { code: 201 },
        message: { contentType: "text/plain", data: { value: message?.data?.value ?? new Uint8Array() } },
      }),
    });
    const url = urlOf(await startCaller(t, older.address));
    const response = await fetch(url, { method: "POST", body: "whole" });
    assert.deepEqual([response.status, await response.text()], [201, "whole"]);
    assert.equal((await fetch(url)).status, 201);
    const long = await fetch(url, { method: "POST", body: Buffer.alloc(MB) });
    assert.equal(long.status, 500);
    assert.match(await long.text(), /code = Unimplemented/);
  });

  test("150 times at once, on connections that are yet to be made", async (t) => {
    const waiting: ServerStream[] = [];
    daprdThat("many", (call) => waiting.push(call));
    const url = urlOf(await startCaller(t, peer.address), "many");
    const answers = Array.from({ length: 150 }, async () => (await fetch(url)).status);
    await waitFor("all calls to be there", () => waiting.length === 150);
    for (const call of waiting) {
      send(call, { response: { status: { code: 200 } } });
      call.end();
    }
    assert.deepEqual(new Set(await Promise.all(answers)), new Set([200]));
  });

  test("and leaves: the daprd's call is cancelled", async () => {
    const cancelled: string[] = [];
    const { url, calls } = daprdThat("left", (call) => call.on("cancelled", () => cancelled.push("one")));
    const leaving = new AbortController();
    const call = fetch(url, { signal: leaving.signal });
    await waitFor("the call", () => calls().length === 1);
    leaving.abort();
    await assert.rejects(call);
    await waitFor("the cancellation", () => cancelled.length === 1);
  });
});

test("Outrigger finds a daprd by mDNS, and calls it", { timeout: 120_000 }, async (t) => {
  const machine = ownMachine(t);
  const [program = process.execPath, ...within] = machine.within;
  const args = [...within, process.execPath, "--import", "tsx", join(ROOT, "test/fixtures/mdns-daprd.ts"), "math"];
  const daprd = spawn(program, args, {
    cwd: ROOT,
    stdio: ["pipe", "pipe", "inherit"],
  });
  const closed = once(daprd, "close");
  t.after(async () => {
    daprd.kill("SIGKILL");
    await closed;
  });
  await once(daprd.stdout, "data");
  const flags = ["--config", configuration(t, { nameResolution: { component: "mdns" } })];
  const caller = await startBeside(t, "caller", undefined, { home: ownHome(t), flags, within: machine.within });
  for (let calls = 0; calls < 2; calls++) assert.deepEqual(await machine.fetch(urlOf(caller)), [200, '{"ok":1}']);
});

describe("a daprd calls Outrigger", { concurrency: 2, timeout: 240_000 }, () => {
  const scope = suiteScope();
  const flood = { sent: 0 };
  let left = 0;
  let app: App;
  let callee: RunningApp;
  let caller: DaprdCaller;

  before(async () => {
    app = await startApp(scope, {
      "/echo": echoBody,
      "/flood": (_, response) => {
        const more = (): void => {
          while (flood.sent < 400 * MB) {
            flood.sent += 64 * 1024;
            if (!response.write(Buffer.alloc(64 * 1024))) return;
          }
          response.end();
        };
        response.on("drain", more);
        more();
      },
      "/much": (_, response) => response.end(MUCH),
      "/slow": (request) => {
        request.socket.once("close", () => left++);
      },
      "/broken": (_, response) => {
        response.writeHead(200, { "Content-Length": "1000000" });
        response.write(Buffer.alloc(300_000), () => response.destroy());
      },
    });
    callee = await startCallee(scope, app.port, ["--max-body-size", "16Mi"]);
    caller = new DaprdCaller(scope, internal(callee));
  });

  test("with 5 MB each way, streamed", async () => {
    const call = caller.open();
    const outcome = outcomeOf(call);
    const body = Buffer.alloc(5 * MB, "0123456789");
    call.write(
      create(InternalInvokeRequestStreamSchema, { request: requestFor("echo", { verb: HTTPExtension_Verb.POST }) }),
    );
    for (let at = 0; at < body.length; at += 2048) {
      const payload = { data: body.subarray(at, at + 2048), seq: BigInt(at / 2048) };
      call.write(create(InternalInvokeRequestStreamSchema, { payload }));
    }
    call.end();
    const { status, body: answered, messages } = await outcome;
    assert.equal(status.code, GRPC.OK, status.details);
    assert.ok(answered.equals(body));
    assert.deepEqual(
      messages.flatMap(({ payload }) => (payload === undefined ? [] : [Number(payload.seq)])),
      [...messages.filter(({ payload }) => payload !== undefined).keys()],
    );
  });

  test("that does not read: the app is held back", async (t) => {
    // By hand: grpc-js takes in what comes, whether it is read or not.
    const session = connectRaw(t, callee.listed.internalPort);
    const stream = beginRaw(session, "/dapr.proto.internals.v1.ServiceInvocation/CallLocalStream", {});
    const head = create(InternalInvokeRequestStreamSchema, { request: requestFor("flood") });
    stream.end(frame(Buffer.from(toBinary(InternalInvokeRequestStreamSchema, head))));
    await once(stream, "response");
    await standsStill(
      () => flood.sent,
      () => caller.callLocal(requestFor("much")),
    );
    assert.ok(flood.sent > 0);
    assert.ok(flood.sent < 100 * MB, `${flood.sent} bytes went to a daprd that does not read`);
    stream.close();
  });

  test("under the callee's access rules", async (t) => {
    const guarded = await startInTestApp(t);
    const accessControl = { defaultAction: "deny", trustDomain: "public", policies: [] };
    const flags = ["--config", configuration(t, { accessControl })];
    const { listed } = await startCallee(t, guarded.port, flags);
    const asked = new DaprdCaller(t, `127.0.0.1:${listed.internalPort}`);
    const { status } = await asked.callLocalStream([{ request: requestFor("do") }]);
    assert.deepEqual(
      [status.code, status.details],
      [GRPC.PERMISSION_DENIED, "access control policy has denied access to id:  operation: do verb: GET"],
    );
    assert.deepEqual(guarded.begun, []);
  });

  test("for another app: it is told so, and may look again", async () => {
    const headers = { "destination-app-id": ["other"] };
    const { status } = await caller.callLocalStream([{ request: requestFor("do", { headers }) }]);
    assert.equal(status.code, GRPC.UNAVAILABLE);
    assert.match(status.details, /this is the sidecar of math.default, the call is for other/);
    await assert.rejects(caller.callLocal(requestFor("do", { headers })), { code: GRPC.UNAVAILABLE });
    assert.ok(!app.begun.includes("/do"));
    const meant = requestFor("do", { headers: { "destination-app-id": ["math"] } });
    assert.equal((await caller.callLocal(meant)).status?.code, 200);
  });

  test("with a deadline, or leaves: the app is asked no longer", async () => {
    await assert.rejects(caller.callLocal(requestFor("slow"), new Metadata(), 300), { code: GRPC.DEADLINE_EXCEEDED });
    await waitFor("the app to be let go", () => left === 1);
    const call = caller.open();
    call.on("error", () => undefined);
    call.write(create(InternalInvokeRequestStreamSchema, { request: requestFor("slow") }));
    call.end();
    await waitFor("the call", () => app.begun.filter((path) => path === "/slow").length === 2);
    call.cancel();
    await waitFor("the app to be let go again", () => left === 2);
  });

  test("an app that breaks off in its answer: the call ends with an error", async () => {
    const { status } = await caller.callLocalStream([{ request: requestFor("broken") }]);
    assert.equal(status.code, GRPC.INTERNAL);
    assert.match(status.details, /error invoking app channel/);
  });

  test("what no sidecar of this kind has: UNIMPLEMENTED", async () => {
    for (const rpc of ["CallActor", "CallActorStream", "CallActorReminder", "Nothing"]) {
      assert.equal((await caller.unknownRpc(rpc)).code, GRPC.UNIMPLEMENTED);
    }
  });

  test("1,000 times, and leaves each time: no call is left over", async (t) => {
    const silent = await startInTestApp(t, () => undefined);
    const limited = await startCallee(t, silent.port, ["--app-max-concurrency", "10"]);
    const leaving = new DaprdCaller(t, internal(limited));
    for (let round = 0; round < 20; round++) {
      const calls = Array.from({ length: 50 }, () => leaving.open());
      for (const call of calls) {
        call.on("error", () => undefined);
        call.write(
          create(InternalInvokeRequestStreamSchema, { request: requestFor("x", { verb: HTTPExtension_Verb.POST }) }),
        );
      }
      const ended = calls.map((call) => new Promise((resolve) => call.once("status", resolve)));
      for (const call of calls) call.cancel();
      await Promise.all(ended);
    }
    // Each that is left over would hold one of the ten slots.
    const call = leaving.open();
    call.on("error", () => undefined);
    const before = silent.begun.length;
    call.write(create(InternalInvokeRequestStreamSchema, { request: requestFor("last") }));
    call.end();
    await waitFor("a slot", () => silent.begun.slice(before).includes("GET /last"));
    call.cancel();
  });
});

describe("two Outriggers that know only each other's address", { timeout: 120_000 }, () => {
  test("go over to the lean hop after the first call, and streams work from the first on", async (t) => {
    const { port } = await startApp(t, { "/x": echoBody });
    const callee = await startCallee(t, port, ["--max-body-size", "16Mi"]);
    const wire = await startWiretap(t, callee.listed.internalPort);
    const caller = await startCaller(t, `127.0.0.1:${wire.port}`, ["--max-body-size", "16Mi"]);
    const body = Buffer.alloc(5 * MB, "0123456789");
    for (let calls = 0; calls < 3; calls++) {
      const stream = new Blob([body]).stream();
      const response = await fetch(urlOf(caller), { method: "POST", body: stream, duplex: "half" });
      assert.ok(Buffer.from(await response.arrayBuffer()).equals(body));
      assert.equal(response.headers.get("outrigger-from"), null);
    }
    assert.deepEqual(wire.spoken.slice(0, 2), ["PRI * HTTP/2.0", "POST /x HTTP/1.1"]);
    assert.deepEqual(new Set(wire.spoken.slice(1)), new Set(["POST /x HTTP/1.1"]));
  });
});

function echo(call: ServerStream): void {
  let seq = 0n;
  send(call, { response: { status: { code: 200 } } });
  call.on("data", ({ payload }: { payload?: { data: Uint8Array } }) => {
    if (payload === undefined) return;
    if (!send(call, { payload: { data: payload.data, seq: seq++ } })) {
      call.pause();
      call.once("drain", () => call.resume());
    }
  });
  call.once("end", () => {
    call.end();
  });
}

function answerMuch(call: ServerStream): void {
  send(call, { response: { status: { code: 200 } } });
  for (let at = 0; at < MUCH.length; at += 64 * 1024) {
    send(call, { payload: { data: MUCH.subarray(at, at + 64 * 1024), seq: BigInt(at / (64 * 1024)) } });
  }
  call.end();
}

function failWith(call: ServerStream, status: Pick<StatusObject, "code" | "details">): void {
  call.emit("error", Object.assign(new Error(status.details), status));
}

function methodOf({ messages }: ReceivedStream): string | undefined {
  return messages[0]?.request?.message?.method;
}

/** Notes the first line of each connection that passes. */
async function startWiretap(t: TestContext, to: number): Promise<{ readonly port: number; readonly spoken: string[] }> {
  const spoken: string[] = [];
  const server = net.createServer((socket) => {
    const onward = net.connect(to, "127.0.0.1");
    socket.once("data", (piece: Buffer) => spoken.push(piece.toString("latin1").split("\r\n")[0] ?? ""));
    socket.pipe(onward).pipe(socket);
    for (const end of [socket, onward]) end.on("error", () => undefined);
    socket.once("close", () => onward.destroy());
    onward.once("close", () => socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return { port: (server.address() as AddressInfo).port, spoken };
}
