import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { type TestContext, test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import grpc from "@grpc/grpc-js";
import { HTTPExtension_Verb } from "../../src/gen/dapr/proto/common/v1/common_pb.ts";
import { Dapr } from "../../src/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { startHost } from "../support/apps.ts";
import { makeAuthority } from "../support/certificates.ts";
import { type Collector, type SeenSpan, startOtlpGrpc, startOtlpHttp, startZipkin } from "../support/collectors.ts";
import { EchoClient, startEchoService } from "../support/echo-service.ts";
import { ownPort } from "../support/own-port.ts";
import { folderWith, ownHome, type RunningApp, startBeside } from "../support/processes.ts";
import { startInTestApp, type WholeRequest } from "../support/raw-http-app.ts";
import { waitFor } from "../support/wait.ts";

/** Traces as a collector gets them, and as apps and callers see them in headers. */

const NO_TRACE = "00-00000000000000000000000000000000-0000000000000000-00";
const TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN_ID = "00f067aa0ba902b7";

interface Options {
  readonly home?: string;
  readonly resources?: string;
  readonly flags?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** A sidecar under this `spec.tracing`. */
async function start(
  t: TestContext,
  appId: string,
  appPort: number | undefined,
  tracing: string,
  { home = ownHome(t), resources = "", flags = [], env = {} }: Options = {},
): Promise<RunningApp> {
  const folder = folderWith(t, { "config.yaml": configuration(tracing), "resources/all.yaml": resources });
  const all = ["--config", `${folder}/config.yaml`, "--resources-path", `${folder}/resources`, ...flags];
  return startBeside(t, appId, appPort, { home, env, flags: all });
}

function configuration(tracing: string): string {
  return `apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\nspec: {tracing: ${tracing}}\n`;
}

function otlp(
  { port }: Pick<Collector, "port">,
  protocol: "grpc" | "http",
  { rate = "'1'", more = "" }: { readonly rate?: string; readonly more?: string } = {},
): string {
  const otel = `endpointAddress: "127.0.0.1:${port}", isSecure: false, protocol: ${protocol}${more}`;
  return `{samplingRate: ${rate}, otel: {${otel}}}`;
}

function headerOf({ headers }: WholeRequest, name: string): string | undefined {
  const at = headers.findIndex((header, place) => place % 2 === 0 && header.toLowerCase() === name);
  return at === -1 ? undefined : headers[at + 1];
}

function partsOf(traceparent: string | null | undefined): readonly [traceId: string, spanId: string, flags: string] {
  const [, traceId = "", spanId = "", flags = ""] = (traceparent ?? "").split("-");
  return [traceId, spanId, flags];
}

function only(spans: readonly SeenSpan[], wanted: Partial<SeenSpan>): SeenSpan {
  const found = spans.filter((span) =>
    Object.entries(wanted).every(([key, value]) => span[key as keyof SeenSpan] === value),
  );
  const [span] = found;
  assert.ok(span !== undefined && found.length === 1, `${JSON.stringify(wanted)} in ${JSON.stringify(spans)}`);
  return span;
}

for (const protocol of ["http", "grpc"] as const) {
  test(`a call through two processes is one trace, each span below the one before, over OTLP/${protocol}`, async (t) => {
    const home = ownHome(t);
    const collector = await (protocol === "http" ? startOtlpHttp(t) : startOtlpGrpc(t));
    const app = await startInTestApp(t);
    await start(t, "callee", app.port, otlp(collector, protocol), { home });
    const { api, outrigger } = await start(t, "caller", undefined, otlp(collector, protocol), { home });
    const headers = {
      traceparent: `00-${TRACE_ID}-${SPAN_ID}-01`,
      tracestate: "a=1,b=2",
      baggage: "k=v",
      "dapr-mine": "seen",
      "dapr-api-token": "secret",
    };
    const answered = await fetch(`${api}/v1.0/invoke/callee/method/a/b?x=1`, { method: "POST", headers });
    assert.equal(answered.status, 200);

    const spans = await collector.when(2);
    assert.equal(spans.length, 2);
    const sent = only(spans, { service: "caller" });
    const received = only(spans, { service: "callee" });
    assert.deepEqual([sent.traceId, sent.parentId, sent.kind], [TRACE_ID, SPAN_ID, "client"]);
    assert.deepEqual([received.traceId, received.parentId, received.kind], [TRACE_ID, sent.spanId, "server"]);
    assert.deepEqual([sent.name, received.name], ["CallLocal/callee/a/b", "CallLocal/callee/a/b"]);
    assert.deepEqual(sent.attributes, {
      "dapr-mine": "seen",
      "dapr.protocol": "http",
      "dapr.api": "POST /v1.0/invoke/callee/method/a/b",
      "dapr.status_code": "200",
      "rpc.service": "ServiceInvocation",
      "net.peer.name": "callee",
    });
    assert.equal(received.attributes["dapr.invoke_method"], "a/b");
    assert.deepEqual([sent.error, received.error, sent.tracestate], [undefined, undefined, "a=1,b=2"]);

    const [reached] = app.whole;
    assert.ok(reached !== undefined);
    assert.equal(headerOf(reached, "traceparent"), `00-${TRACE_ID}-${received.spanId}-01`);
    assert.deepEqual([headerOf(reached, "tracestate"), headerOf(reached, "baggage")], ["a=1,b=2", "k=v"]);
    assert.equal(answered.headers.get("traceparent"), `00-${TRACE_ID}-${sent.spanId}-01`);
    assert.deepEqual([answered.headers.get("tracestate"), answered.headers.get("baggage")], ["a=1,b=2", "k=v"]);
    await outrigger.waitForOutput(new RegExp(`trace ${TRACE_ID}`));
  });
}

test("Zipkin gets the same spans, and the story of calls tells their trace", async (t) => {
  const zipkin = await startZipkin(t);
  const app = await startInTestApp(t, (_request, response) => response.writeHead(404).end());
  const tracing = `{samplingRate: 1, zipkin: {endpointAddress: "http://127.0.0.1:${zipkin.port}/api/v2/spans"}}`;
  const { api, outrigger } = await start(t, "alone", app.port, tracing);
  await fetch(`${api}/v1.0/invoke/alone/method/x`);
  const [span] = await zipkin.when(1);
  assert.ok(span !== undefined);
  assert.deepEqual([span.service, span.name, span.kind, span.parentId], ["alone", "CallLocal/alone/x", "client", ""]);
  assert.deepEqual([span.attributes["dapr.status_code"], span.error], ["404", "Code(404): Not Found"]);
  const [reached] = app.whole;
  assert.ok(reached !== undefined);
  assert.equal(headerOf(reached, "traceparent"), `00-${span.traceId}-${span.spanId}-01`);
  await outrigger.waitForOutput(new RegExp(`trace ${span.traceId}`));
});

test("co-hosted apps have a span on each side, under their own names", async (t) => {
  const collector = await startOtlpHttp(t);
  const app = await startInTestApp(t);
  const folder = folderWith(t, { "config.yaml": configuration(otlp(collector, "http")) });
  const config = `${folder}/config.yaml`;
  const host = await startHost(t, ownHome(t), [
    { appId: "front", serves: false, keys: { configFilePath: config } },
    { appId: "back", serves: false, keys: { configFilePath: config, appPort: app.port } },
  ]);
  await host.outrigger.waitForOutput(/^back +● answers/m);
  const answered = await fetch(`${await host.api("front")}/v1.0/invoke/back/method/x`);
  assert.equal(answered.status, 200);
  const spans = await collector.when(2);
  const sent = only(spans, { service: "front", kind: "client" });
  const received = only(spans, { service: "back", kind: "server" });
  assert.deepEqual([received.traceId, received.parentId], [sent.traceId, sent.spanId]);
  const [reached] = app.whole;
  assert.ok(reached !== undefined);
  assert.equal(headerOf(reached, "traceparent"), `00-${sent.traceId}-${received.spanId}-01`);
});

test("an HTTP endpoint and a URL have a span of their own below the caller's; a failure is an error", async (t) => {
  const collector = await startOtlpGrpc(t);
  const app = await startInTestApp(t);
  const nobody = await ownPort();
  const resources = `apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata: {name: api}
spec: {baseUrl: "http://127.0.0.1:${app.port}/v2"}
`;
  const { api } = await start(t, "caller", undefined, otlp(collector, "grpc"), { resources });
  await fetch(`${api}/v1.0/invoke/api/method/x?secret=1`);
  await fetch(`${api}/v1.0/invoke/http://127.0.0.1:${nobody}/method/y`);
  const spans = await collector.when(4);
  const called = only(spans, { name: "GET api" });
  const above = only(spans, { name: "CallLocal/api/x" });
  assert.deepEqual([called.traceId, called.parentId, called.kind], [above.traceId, above.spanId, "client"]);
  assert.deepEqual([called.attributes["url.path"], called.attributes["server.port"]], ["/v2/x", String(app.port)]);
  const [reached] = app.whole;
  assert.ok(reached !== undefined);
  assert.equal(headerOf(reached, "traceparent"), `00-${called.traceId}-${called.spanId}-01`);
  const failed = only(spans, { name: `GET http://127.0.0.1:${nobody}` });
  assert.match(failed.error ?? "", /ECONNREFUSED|refused/);
  assert.equal(only(spans, { spanId: failed.parentId }).error, "Code(500): Internal Server Error");
});

test("a proxied gRPC call is one trace, ends with its own status, and tells the app in both forms", async (t) => {
  const home = ownHome(t);
  const collector = await startOtlpHttp(t);
  const echo = await startEchoService(t);
  await start(t, "echo", echo.port, otlp(collector, "http"), { home, flags: ["--app-protocol", "grpc"] });
  const { listed } = await start(t, "caller", undefined, otlp(collector, "http"), { home });
  const client = new EchoClient(t, listed.grpcPort);
  const metadata = [
    ["dapr-app-id", "echo"],
    ["traceparent", `00-${TRACE_ID}-${SPAN_ID}-01`],
  ] as const;
  assert.equal((await client.unary("Unary", [...metadata, ["x-key", "good"]]).answered).code, 0);
  assert.equal((await client.unary("Fail", [...metadata, ["x-key", "bad"]]).answered).code, 5);
  const spans = await collector.when(4);
  for (const [name, key] of [
    ["/demo.v1.Echo/Unary", "good"],
    ["/demo.v1.Echo/Fail", "bad"],
  ] as const) {
    const sent = only(spans, { service: "caller", name });
    const received = only(spans, { service: "echo", name });
    assert.deepEqual([sent.traceId, sent.parentId, received.parentId], [TRACE_ID, SPAN_ID, sent.spanId]);
    assert.deepEqual([sent.kind, received.kind], ["client", "server"]);
    assert.equal(sent.error === undefined, key === "good");
    assert.equal(received.error === undefined, key === "good");
    const { metadata: told } = await echo.seen(key);
    assert.deepEqual(told.get("traceparent"), [`00-${TRACE_ID}-${received.spanId}-01`]);
    const [bin] = told.get("grpc-trace-bin");
    assert.ok(Buffer.isBuffer(bin) && bin.toString("hex").includes(`01${received.spanId}02`));
  }
});

test("a rate of 0 asks for no spans and begins no trace; nor does a Configuration without a collector", async (t) => {
  const collector = await startOtlpHttp(t);
  const app = await startInTestApp(t);
  for (const tracing of [otlp(collector, "http", { rate: "0" }), "{samplingRate: '1'}"]) {
    const { api } = await start(t, "quiet", app.port, tracing);
    const answered = await fetch(`${api}/v1.0/invoke/quiet/method/x`);
    assert.equal(answered.headers.get("traceparent"), NO_TRACE);
  }
  assert.deepEqual(
    app.whole.map((request) => headerOf(request, "traceparent")),
    [NO_TRACE, NO_TRACE],
  );
  assert.deepEqual(collector.spans, []);
});

test("what is not sampled goes on under an id of its own with no flag; what its caller has sampled is sampled", async (t) => {
  const collector = await startOtlpHttp(t);
  const app = await startInTestApp(t);
  const { api, outrigger } = await start(t, "rare", app.port, otlp(collector, "http", { rate: "1e-9" }));
  const url = `${api}/v1.0/invoke/rare/method/x`;
  const unsampled = await fetch(url, { headers: { traceparent: `00-${TRACE_ID}-${SPAN_ID}-00` } });
  const [traceId, spanId, flags] = partsOf(unsampled.headers.get("traceparent"));
  assert.deepEqual([traceId, flags], [TRACE_ID, "00"]);
  assert.notEqual(spanId, SPAN_ID);
  const fresh = await fetch(url);
  assert.match(fresh.headers.get("traceparent") ?? "", /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-00$/);
  await fetch(url, { headers: { traceparent: `00-${TRACE_ID}-${SPAN_ID}-01` } });
  const [span] = await collector.when(1);
  assert.deepEqual([span?.traceId, span?.parentId], [TRACE_ID, SPAN_ID]);
  // What was still waiting would come with the end.
  await outrigger.stop();
  assert.equal(collector.spans.length, 1);
});

test("spans that wait are sent as the sidecar ends", async (t) => {
  const collector = await startOtlpGrpc(t);
  const app = await startInTestApp(t);
  const { api, outrigger } = await start(t, "ending", app.port, otlp(collector, "grpc"));
  await fetch(`${api}/v1.0/invoke/ending/method/x`);
  assert.equal(await outrigger.stop(), 0);
  assert.equal(collector.spans.length, 1);
});

test("a caller that leaves ends its span", async (t) => {
  const collector = await startOtlpHttp(t);
  const app = await startInTestApp(t, () => undefined);
  const { api } = await start(t, "slow", app.port, otlp(collector, "http"));
  const abort = new AbortController();
  const call = fetch(`${api}/v1.0/invoke/slow/method/x`, { signal: abort.signal });
  await waitFor("the app to be asked", () => app.whole.length === 1);
  abort.abort();
  await assert.rejects(call);
  const [span] = await collector.when(1);
  assert.equal(span?.error, "the caller has left");
});

test("without a collector calls go on as fast, the log tells of lost spans once, and the end does not wait", async (t) => {
  const app = await startInTestApp(t);
  const zipkin = `zipkin: {endpointAddress: "http://127.0.0.1:${await ownPort()}/api/v2/spans"}`;
  // It takes connections, and never answers.
  const silent = net.createServer().listen(0, "127.0.0.1");
  await once(silent, "listening");
  const sockets = new Set<net.Socket>();
  silent.on("connection", (socket) => sockets.add(socket));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
  const { port } = silent.address() as net.AddressInfo;
  const tracing = otlp({ port }, "http").replace(/\}$/, `, ${zipkin}}`);
  const flags = ["--dapr-graceful-shutdown-seconds", "1"];
  const { api, outrigger } = await start(t, "robust", app.port, tracing, { flags });
  for (let i = 0; i < 300; i++) {
    const answered = await fetch(`${api}/v1.0/invoke/robust/method/x`);
    assert.equal(answered.status, 200);
    await answered.arrayBuffer();
  }
  await outrigger.waitForOutput(/spans were lost on their way to Zipkin/);
  assert.equal(outrigger.output.match(/spans were lost on their way to Zipkin/g)?.length, 1);
  const before = performance.now();
  assert.equal(await outrigger.stop(), 0);
  assert.ok(performance.now() - before < 10_000, "it waited for the collector");
});

test("a secure collector is spoken to over TLS with headers, one of them a secret, over both protocols", async (t) => {
  const authority = makeAuthority(t);
  const certificate = authority.issue("collector", "IP:127.0.0.1");
  const app = await startInTestApp(t);
  const resources = `apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: secrets}
spec: {type: secretstores.local.env, version: v1}
`;
  const headers = "headers: [{name: x-plain, value: p}, {name: authorization, secretKeyRef: {name: KEY}}]";
  for (const [protocol, collector] of [
    ["http", await startOtlpHttp(t, certificate)],
    ["grpc", await startOtlpGrpc(t, certificate)],
  ] as const) {
    const otel = `endpointAddress: "127.0.0.1:${collector.port}", protocol: ${protocol}, ${headers}, timeout: 5000`;
    // Some machines tell gRPC libraries which authorities to trust; ours is not one of those.
    const env = { NODE_EXTRA_CA_CERTS: authority.caFile, GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: "", KEY: "Bearer 1" };
    const { api } = await start(t, "secure", app.port, `{samplingRate: 1, otel: {${otel}}}`, { resources, env });
    await fetch(`${api}/v1.0/invoke/secure/method/x`);
    await collector.when(1);
    const [sent] = collector.headers;
    assert.deepEqual([sent?.["x-plain"], sent?.["authorization"]], ["p", "Bearer 1"]);
  }
});

test("the environment names a collector, headers and a service, where the Configuration names none", async (t) => {
  const collector = await startOtlpHttp(t);
  const app = await startInTestApp(t);
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.port}`,
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf",
    OTEL_EXPORTER_OTLP_INSECURE: "true",
    OTEL_EXPORTER_OTLP_HEADERS: "x-key=a%20b",
    OTEL_SERVICE_NAME: "renamed",
  };
  const { api } = await startBeside(t, "app", app.port, { home: ownHome(t), env });
  await fetch(`${api}/v1.0/invoke/app/method/x`);
  const [span] = await collector.when(1);
  assert.equal(span?.service, "renamed");
  assert.equal(collector.headers[0]?.["x-key"], "a b");
});

test("stdout tells spans in the log", async (t) => {
  const app = await startInTestApp(t);
  const { api, outrigger } = await start(t, "told", app.port, "{samplingRate: '1', stdout: true}");
  await fetch(`${api}/v1.0/invoke/told/method/x`);
  await outrigger.waitForOutput(/span CallLocal\/told\/x .*dapr\.status_code=200/);
});

test("a retry of a policy is told as an event of the call's span", async (t) => {
  const collector = await startOtlpHttp(t);
  let calls = 0;
  const app = await startInTestApp(t, (_request, response) => {
    calls += 1;
    response.writeHead(calls === 1 ? 503 : 200).end();
  });
  const resources = `apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: {name: r}
spec:
  policies: {retries: {once: {policy: constant, duration: 1ms, maxRetries: 1}}}
  targets: {apps: {me: {retry: once}}}
`;
  const { api } = await start(t, "me", app.port, otlp(collector, "http"), { resources });
  const answered = await fetch(`${api}/v1.0/invoke/me/method/x`);
  assert.equal(answered.status, 200);
  const [span] = await collector.when(1);
  assert.deepEqual(span?.events, ["retry"]);
});

test("grpc-trace-bin alone is a parent too", async (t) => {
  const collector = await startOtlpHttp(t);
  const echo = await startEchoService(t);
  const flags = ["--app-protocol", "grpc"];
  const { listed } = await start(t, "own", echo.port, otlp(collector, "http"), { flags });
  const client = new EchoClient(t, listed.grpcPort);
  const bin = Buffer.from(`0000${TRACE_ID}01${SPAN_ID}0201`, "hex");
  const metadata = [
    ["dapr-app-id", "own"],
    ["x-key", "k"],
    ["grpc-trace-bin", bin],
  ] as const;
  await client.unary("Unary", metadata).answered;
  const [span] = await collector.when(1);
  assert.deepEqual([span?.traceId, span?.parentId], [TRACE_ID, SPAN_ID]);
  const { metadata: told } = await echo.seen("k");
  assert.deepEqual(told.get("traceparent"), [`00-${TRACE_ID}-${span?.spanId ?? ""}-01`]);
});

test("InvokeService is a span of the app that it names, whose name its answer carries", async (t) => {
  const collector = await startOtlpHttp(t);
  const app = await startInTestApp(t);
  const { listed } = await start(t, "me", app.port, otlp(collector, "http"));
  const client = new grpc.Client(`127.0.0.1:${listed.grpcPort}`, grpc.credentials.createInsecure());
  t.after(() => {
    client.close();
  });
  const { input } = Dapr.method.invokeService;
  const message = Buffer.from(
    toBinary(
      input,
      create(input, { id: "me", message: { method: "x", httpExtension: { verb: HTTPExtension_Verb.GET } } }),
    ),
  );
  const same = (bytes: Buffer): Buffer => bytes;
  const head = await new Promise<grpc.Metadata>((resolve, reject) => {
    const call = client.makeUnaryRequest("/dapr.proto.runtime.v1.Dapr/InvokeService", same, same, message, (error) => {
      if (error !== null) reject(error);
    });
    call.on("metadata", resolve);
  });
  const [span] = await collector.when(1);
  assert.ok(span !== undefined);
  assert.deepEqual([span.name, span.attributes["net.peer.name"], span.error], ["CallLocal/me/x", "me", undefined]);
  const traceparent = `00-${span.traceId}-${span.spanId}-01`;
  assert.deepEqual(head.get("traceparent"), [traceparent]);
  const [reached] = app.whole;
  assert.ok(reached !== undefined);
  assert.equal(headerOf(reached, "traceparent"), traceparent);
});
