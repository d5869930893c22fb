import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import type http2 from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, type TestContext, test } from "node:test";
import grpc from "@grpc/grpc-js";
import { callUnary, daprClient, type GrpcAnswer } from "../golden/grpc-client.ts";
import { curlAnswer } from "../support/curl.ts";
import { DaprdCaller, requestFor } from "../support/daprd-peer.ts";
import { beginH2, callH2, connectH2 } from "../support/h2-client.ts";
import { listApps, startOutrigger } from "../support/outrigger.ts";
import { ownPort } from "../support/own-port.ts";
import { ownHome, type RunningApp, startBeside } from "../support/processes.ts";

/** The gRPC API of real processes: doors, limits and ends. What its services answer is tested beside them. */

const CHECK = "/grpc.health.v1.Health/Check";
const EMPTY_MESSAGE = Buffer.alloc(5);
const SERVING = Buffer.from([0, 0, 0, 0, 2, 0x08, 1]);
const NOT_SERVING = Buffer.from([0, 0, 0, 0, 2, 0x08, 2]);
const GRPC = { "content-type": "application/grpc", te: "trailers" };

async function startApp(t: TestContext, port = 0): Promise<number> {
  const app = http.createServer((request, response) => {
    request.resume().on("end", () => response.end(`${request.method ?? ""} ${request.url ?? ""}`));
  });
  app.listen(port, "127.0.0.1");
  await once(app, "listening");
  t.after(() => {
    app.close();
    app.closeAllConnections();
  });
  return (app.address() as { port: number }).port;
}

async function start(t: TestContext, flags: readonly string[] = [], home = ownHome(t)): Promise<RunningApp> {
  return startBeside(t, "callee", await startApp(t), { home, flags });
}

function invoke(t: TestContext, address: string, message: Record<string, unknown>): Promise<GrpcAnswer> {
  const client = daprClient(t, address);
  const http_extension = { verb: "POST" };
  return callUnary(
    client,
    "InvokeService",
    { id: "callee", message: { http_extension, ...message } },
    new grpc.Metadata(),
  );
}

suite("the gRPC API", { concurrency: 2, timeout: 240_000 }, () => {
  test("an app is called by itself, and by an app of another process", async (t) => {
    const home = ownHome(t);
    const callee = await start(t, [], home);
    const caller = await startBeside(t, "caller", undefined, { home });
    for (const { listed } of [callee, caller]) {
      const { value, err } = await invoke(t, `127.0.0.1:${listed.grpcPort}`, { method: "a/b" });
      assert.equal(err, null);
      assert.equal((value?.["data"] as { value: Buffer }).value.toString(), "POST /a/b");
    }
  });

  test("a query cannot become a second request, and what it may hold arrives escaped", async (t) => {
    const home = ownHome(t);
    const callee = await start(t, [], home);
    const caller = await startBeside(t, "caller", undefined, { home });
    const forged = "a HTTP/1.1\r\nHost: x\r\n\r\nDELETE /admin HTTP/1.1\r\nHost: x\r\nX: ";
    for (const { listed } of [callee, caller]) {
      const send = (querystring: string): Promise<GrpcAnswer> =>
        invoke(t, `127.0.0.1:${listed.grpcPort}`, { method: "x", http_extension: { verb: "GET", querystring } });
      assert.match((await send(forged)).err?.message ?? "", /invalid query: it contains a control character/);
      const { value } = await send("q=a b&ö#");
      assert.equal((value?.["data"] as { value: Buffer }).value.toString(), "GET /x?q=a%20b&%C3%B6%23");
    }
    const daprd = new DaprdCaller(t, `127.0.0.1:${callee.listed.internalPort}`);
    await assert.rejects(daprd.callLocal(requestFor("x", { query: forged })), { code: grpc.status.INVALID_ARGUMENT });
  });

  test("a message over --max-body-size is RESOURCE_EXHAUSTED, and the connection goes on", async (t) => {
    const { listed } = await start(t, ["--max-body-size", "1Ki"]);
    const address = `127.0.0.1:${listed.grpcPort}`;
    const large = await invoke(t, address, { method: "x", data: { value: Buffer.alloc(64 * 1024) } });
    assert.equal(large.err?.code, "RESOURCE_EXHAUSTED");
    const small = await invoke(t, address, { method: "x", data: { value: Buffer.alloc(10) } });
    assert.equal(small.err, null);
  });

  test("what is no gRPC is told so, over HTTP/2 and over HTTP/1.1", async (t) => {
    const { listed } = await start(t);
    const url = `http://127.0.0.1:${listed.grpcPort}`;
    const session = await connectH2(t, url);
    const wrong = await callH2(session, {
      path: CHECK,
      method: "POST",
      headers: { "content-type": "application/json" },
    });
    assert.equal(wrong.status, 415);
    assert.match(wrong.body.toString(), /speaks gRPC over HTTP\/2.*--dapr-http-port/);
    const old = await curlAnswer("--http1.1", `${url}/v1.0/healthz`);
    assert.equal(old.status, 415);
    assert.match(old.body, /--dapr-http-port/);
    // Even where it calls itself gRPC: HTTP/1.1 has no place for the status.
    const disguised = await curlAnswer(
      "--http1.1",
      "-H",
      "content-type: application/grpc",
      "-d",
      "x",
      `${url}${CHECK}`,
    );
    assert.equal(disguised.status, 415);
  });

  test("it is on the Unix socket", async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "or-"));
    t.after(() => {
      rmSync(folder, { recursive: true, force: true });
    });
    const { listed } = await start(t, ["--unix-domain-socket", folder]);
    const socket = join(folder, "dapr-callee-grpc.socket");
    assert.equal(listed.grpcSocket, socket);
    const { value } = await invoke(t, `unix:${socket}`, { method: "m" });
    assert.equal((value?.["data"] as { value: Buffer }).value.toString(), "POST /m");
  });

  test("a sidecar whose app is yet to start is NOT_SERVING, and Watch tells when it has", async (t) => {
    const [home, appPort] = [ownHome(t), await ownPort()];
    const flags = ["--app-id", "callee", "--app-port", String(appPort)];
    const ports = ["--dapr-http-port", "0", "--dapr-grpc-port", "0"];
    const outrigger = startOutrigger(t, ["sidecar", ...flags, ...ports], { home });
    await outrigger.api("callee");
    const [listed] = await listApps(home);
    assert.ok(listed);
    const stream = await watch(t, listed.grpcPort);
    assert.deepEqual(await nextMessage(stream), NOT_SERVING);
    const told = nextMessage(stream);
    await startApp(t, appPort);
    assert.deepEqual(await told, SERVING);
  });

  test("a Watch that is open does not hold up the end", async (t) => {
    const callee = await start(t, ["--dapr-graceful-shutdown-seconds", "3600"]);
    const stream = await watch(t, callee.listed.grpcPort);
    assert.deepEqual(await nextMessage(stream), SERVING);
    const trailers = once(stream, "trailers");
    const exited = callee.outrigger.stop();
    const [{ "grpc-status": status, "grpc-message": message }] = (await trailers) as [http2.IncomingHttpHeaders];
    assert.deepEqual([status, message], ["14", "the sidecar is ending"]);
    await exited;
  });
});

async function watch(t: TestContext, port: number): Promise<http2.ClientHttp2Stream> {
  const session = await connectH2(t, `http://127.0.0.1:${port}`);
  const stream = beginH2(session, { path: "/grpc.health.v1.Health/Watch", method: "POST", headers: GRPC });
  stream.end(EMPTY_MESSAGE);
  return stream;
}

async function nextMessage(stream: http2.ClientHttp2Stream): Promise<Buffer> {
  const [message] = (await once(stream, "data")) as [Buffer];
  return message;
}
