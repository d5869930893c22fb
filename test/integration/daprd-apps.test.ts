import assert from "node:assert/strict";
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, status as GRPC, Metadata } from "@grpc/grpc-js";
import { HTTPExtension_Verb } from "../../src/gen/dapr/proto/common/v1/common_pb.ts";
import { Dapr } from "../../src/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import type { TestScope } from "../support/cleanup.ts";
import { DaprdCaller, requestFor, send, startDaprdPeer } from "../support/daprd-peer.ts";
import { EchoClient } from "../support/echo-service.ts";
import { metadataOf, startGrpcApp } from "../support/grpc-app.ts";
import { Inspector } from "../support/inspector.ts";
import { folderWith, ownHome, type RunningApp, startBeside } from "../support/processes.ts";
import { frame, startRawGrpcApp } from "../support/raw-grpc.ts";
import { startInTestApp } from "../support/raw-http-app.ts";
import { waitFor } from "../support/wait.ts";

/** Apps behind Outrigger that daprd's calls reach, and what of them is told to whom. */

function internal({ listed }: RunningApp): string {
  return `127.0.0.1:${listed.internalPort}`;
}

/** An app that answers with these bytes, whatever it is asked, and then breaks off. */
async function startBreakingApp(t: TestScope, answer: string): Promise<number> {
  const server = net.createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => {
      socket.end(answer);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** An Outrigger without an app whose table leads `math` there. */
async function startCaller(
  t: TestScope,
  address: string,
  flags: readonly string[] = [],
  env = {},
): Promise<RunningApp> {
  const nameResolution = { component: "static", configuration: { math: address } };
  const document = {
    apiVersion: "dapr.io/v1alpha1",
    kind: "Configuration",
    metadata: { name: "c" },
    spec: { nameResolution },
  };
  const file = join(folderWith(t, { "config.yaml": JSON.stringify(document) }), "config.yaml");
  return startBeside(t, "caller", undefined, { home: ownHome(t), env, flags: ["--config", file, ...flags] });
}

function urlOf({ api }: RunningApp): string {
  return `${api}/v1.0/invoke/math/method/x`;
}

describe("a daprd calls an app behind Outrigger", { concurrency: 2, timeout: 120_000 }, () => {
  test("that breaks off at once: the daprd is told so, and the log keeps quiet", async (t) => {
    const port = await startBreakingApp(t, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    const callee = await startBeside(t, "math", port, { home: ownHome(t) });
    const caller = new DaprdCaller(t, internal(callee));
    const refused = { code: GRPC.INTERNAL, message: /error invoking app channel: / };
    await assert.rejects(caller.callLocal(requestFor("x")), refused);
    const { status } = await caller.callLocalStream([{ request: requestFor("x") }]);
    assert.equal(status.code, GRPC.INTERNAL);
    assert.match(status.details, /error invoking app channel: /);
    assert.doesNotMatch(callee.outrigger.output, /inside Outrigger/);
  });

  test("with a header that no message can have: it is refused, and the log keeps quiet", async (t) => {
    const port = await startBreakingApp(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    const callee = await startBeside(t, "math", port, { home: ownHome(t) });
    const caller = new DaprdCaller(t, internal(callee));
    const request = requestFor("x", { headers: { "X-Mine": ["a\r\nX-Evil: 1"] } });
    await assert.rejects(caller.callLocal(request), { code: GRPC.INVALID_ARGUMENT, message: /the header X-Mine/ });
    assert.doesNotMatch(callee.outrigger.output, /inside Outrigger/);
  });

  test("that speaks gRPC: message, status and trailers are its own, in both forms of the call", async (t) => {
    const app = await startGrpcApp(t, {
      onInvoke: ({ request: { method, data } }) => {
        if (method === "fail") {
          const trailers = metadataOf({ "x-tail": "end" });
          throw Object.assign(new Error("no"), { code: GRPC.NOT_FOUND, details: "nothing here", metadata: trailers });
        }
        const body = data?.value ?? new Uint8Array();
        return { body, contentType: "text/plain", headers: metadataOf({ "x-head": "1" }) };
      },
    });
    const callee = await startBeside(t, "math", app.port, { home: ownHome(t), flags: ["--app-protocol", "grpc"] });
    const caller = new DaprdCaller(t, internal(callee));
    const data = Buffer.from("hello");
    const verb = HTTPExtension_Verb.POST;
    const whole = await caller.callLocal(requestFor("echo", { verb, data, contentType: "text/plain" }));
    assert.deepEqual([whole.status?.code, whole.message?.contentType], [0, "text/plain"]);
    assert.equal(Buffer.from(whole.message?.data?.value ?? []).toString(), "hello");
    assert.deepEqual(whole.headers["x-head"]?.values, ["1"]);
    const streamed = await caller.callLocalStream([{ request: requestFor("echo", { verb }), payload: { data } }]);
    assert.deepEqual([streamed.status.code, streamed.body.toString()], [GRPC.OK, "hello"]);
    const failed = await caller.callLocal(requestFor("fail", { verb }));
    assert.deepEqual([failed.status?.code, failed.status?.message], [GRPC.NOT_FOUND, "nothing here"]);
    assert.deepEqual(failed.trailers["x-tail"]?.values, ["end"]);
  });

  test("with a message over the limit: RESOURCE_EXHAUSTED, whole or in pieces, and the app hears nothing", async (t) => {
    const app = await startInTestApp(t);
    const callee = await startBeside(t, "math", app.port, { home: ownHome(t), flags: ["--max-body-size", "64Ki"] });
    const caller = new DaprdCaller(t, internal(callee));
    const request = requestFor("x", { verb: HTTPExtension_Verb.POST, data: Buffer.alloc(128 * 1024) });
    await assert.rejects(caller.callLocal(request), { code: GRPC.RESOURCE_EXHAUSTED });
    const payload = { data: Buffer.alloc(128 * 1024) };
    const { status } = await caller.callLocalStream([
      { request: requestFor("x", { verb: HTTPExtension_Verb.POST }), payload },
    ]);
    assert.equal(status.code, GRPC.RESOURCE_EXHAUSTED, status.details);
    assert.deepEqual(app.begun, []);
  });
});

describe("Outrigger calls a daprd", { concurrency: 2, timeout: 180_000 }, () => {
  test("whose app speaks gRPC: InvokeService gets its message and its status", async (t) => {
    const peer = await startDaprdPeer(t, {
      stream: (call, { messages }) => {
        const failed = messages[0]?.request?.message?.method === "fail";
        const status = failed ? { code: GRPC.NOT_FOUND, message: "nothing here" } : { code: 0 };
        send(call, {
          response: { status, message: { contentType: "text/plain" } },
          payload: { data: Buffer.from("hi") },
        });
        call.end();
      },
    });
    const caller = await startCaller(t, peer.address);
    const answered = await fetch(urlOf(caller), { method: "POST", body: "x" });
    assert.deepEqual([answered.status, await answered.text()], [200, "hi"]);
    const failed = await fetch(urlOf(caller).replace(/x$/, "fail"), { method: "POST" });
    assert.deepEqual([failed.status, failed.headers.get("grpc-status")], [500, "5"]);
  });

  test("which proxies to a service: what its app says in our headers is not believed, and it is called once", async (t) => {
    let calls = 0;
    const seen: string[] = [];
    const daprd = await startRawGrpcApp(t, ({ stream, headers }) => {
      calls++;
      seen.push(...Object.keys(headers).filter((name) => name.startsWith("outrigger-")));
      stream.respond(
        { ":status": 200, "content-type": "application/grpc", "outrigger-error": "not-this-app", "x-head": "1" },
        { waitForTrailers: true },
      );
      stream.once("wantTrailers", () => {
        stream.sendTrailers({ "grpc-status": "0", "x-tail": "end" });
      });
      stream.end(frame("served"));
    });
    const caller = await startCaller(t, `127.0.0.1:${daprd.port}`);
    const client = new EchoClient(t, caller.listed.grpcPort);
    for (let call = 1; call <= 2; call++) {
      const { code, head, trailers, message } = await client.unary("Unary", [["dapr-app-id", "math"]]).answered;
      assert.deepEqual([code, message?.toString()], [GRPC.OK, "served"]);
      assert.deepEqual([head?.get("x-head"), trailers.get("x-tail")], [["1"], ["end"]]);
      assert.deepEqual([head?.get("outrigger-error"), calls], [[], call]);
    }
    assert.deepEqual(seen.sort(), ["outrigger-caller-namespace", "outrigger-target"], "only the first call asks");
  });

  test("1,000 calls that are given up leave no connection and no memory behind", async (t) => {
    let cancelled = 0;
    const peer = await startDaprdPeer(t, { stream: (call) => call.once("cancelled", () => cancelled++) });
    const env = { NODE_OPTIONS: "--inspect=127.0.0.1:0" };
    const caller = await startCaller(t, peer.address, ["--story=false"], env);
    const inspector = await Inspector.open(caller.outrigger.stderr);
    t.after(() => {
      inspector.close();
    });
    let begun = 0;
    const round = async (): Promise<void> => {
      const leaving = new AbortController();
      const calls = Array.from({ length: 100 }, async () => {
        await assert.rejects(fetch(urlOf(caller), { method: "POST", body: "x", signal: leaving.signal }));
      });
      begun += calls.length;
      await waitFor("the daprd to have them all", () => peer.streams.length === begun);
      leaving.abort();
      await Promise.all(calls);
      await waitFor("the daprd to be told of each", () => cancelled === begun);
    };
    await round();
    const before = await inspector.heapInUse();
    for (let rounds = 0; rounds < 10; rounds++) await round();
    // One connection goes to the daprd, and all calls have it.
    await waitFor("the callers' connections to be closed", async () => {
      return ((await inspector.handles())["TCPSocketWrap"] ?? 0) <= 1;
    });
    const after = await inspector.heapInUse();
    assert.ok(after < before + 4 * 2 ** 20, `the heap grew from ${before} to ${after} bytes`);
  });
});

test("a deadline of InvokeService reaches a gRPC app behind another process", { timeout: 60_000 }, async (t) => {
  const app = await startGrpcApp(t, { onInvoke: () => ({}) });
  const home = ownHome(t);
  await startBeside(t, "math", app.port, { home, flags: ["--app-protocol", "grpc"] });
  const caller = await startBeside(t, "caller", undefined, { home });
  const client = new Client(`127.0.0.1:${caller.listed.grpcPort}`, credentials.createInsecure());
  t.after(() => {
    client.close();
  });
  const { input } = Dapr.method.invokeService;
  const message = { id: "math", message: { method: "x" } };
  const bytes = Buffer.from(toBinary(input, create(input, message)));
  const same = (sent: Buffer): Buffer => sent;
  for (const options of [{ deadline: Date.now() + 50_000 }, {}]) {
    await new Promise<void>((resolve, reject) => {
      const path = "/dapr.proto.runtime.v1.Dapr/InvokeService";
      client.makeUnaryRequest(path, same, same, bytes, new Metadata(), options, (error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
  }
  assert.deepEqual(
    app.received.map(({ hasDeadline }) => hasDeadline),
    [true, false],
  );
});
