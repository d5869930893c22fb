import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Metadata } from "@grpc/grpc-js";
import { callUnary, daprClient } from "../golden/grpc-client.ts";
import { EchoClient, startEchoService } from "../support/echo-service.ts";
import { startGrpcApp } from "../support/grpc-app.ts";
import { type ListedApp, listApps, type Outrigger, ROOT, startOutrigger } from "../support/outrigger.ts";
import { ownPort } from "../support/own-port.ts";
import { folderWith, ownHome, runToEnd, startBeside, whenReady } from "../support/processes.ts";
import { startInTestApp } from "../support/raw-http-app.ts";
import { type Scrape, scrape } from "../support/scrape.ts";
import { waitFor } from "../support/wait.ts";

/** Prometheus metrics under Dapr's names (A9), read with a parser that is not ours. */

function configuration(spec: string): string {
  return `apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\nspec:\n${spec.replace(/^(?=.)/gm, "  ")}`;
}

interface RunFileApp {
  readonly appID: string;
  readonly appPort?: number;
  readonly appProtocol?: string;
  readonly configFilePath?: string;
}

/** One process for these apps, beside the apps of the test. */
async function startTogether(
  t: TestContext,
  apps: readonly RunFileApp[],
  files: Readonly<Record<string, string>> = {},
): Promise<{
  readonly outrigger: Outrigger;
  readonly listed: (id: string) => ListedApp;
  readonly api: (id: string) => string;
}> {
  const home = ownHome(t);
  const described = apps.map((app) => ({ appDirPath: ".", ...app }));
  const folder = folderWith(t, {
    ...files,
    "run.yaml": JSON.stringify({ version: 1, common: { noDefaultPubsub: true }, apps: described }),
  });
  const outrigger = startOutrigger(t, ["run", "-f", join(folder, "run.yaml")], { home });
  for (const { appID } of apps) await whenReady(outrigger, appID);
  const all = await listApps(home);
  const listed = (id: string): ListedApp => all.find(({ appId }) => appId === id) ?? assert.fail(`${id} is not listed`);
  return { outrigger, listed, api: (id) => `http://127.0.0.1:${listed(id).httpPort}` };
}

/** What is counted is counted once an answer has gone out, which its caller may see a moment sooner. */
async function scrapedWith(port: number | undefined, what: string, has: (seen: Scrape) => boolean): Promise<Scrape> {
  return waitFor(what, async () => {
    const seen = await scrape(port);
    return has(seen) ? seen : undefined;
  });
}

/** The rows of the table of what a daprd was seen to have. */
function observed(): ReadonlyMap<string, { readonly type: string; readonly labels: readonly string[] }> {
  const text = readFileSync(join(ROOT, "test/fixtures/observed/metrics.md"), "utf8");
  const rows = [...text.matchAll(/^\| (dapr_\w+) \| (\w+) \| ([\w, ]+) \|$/gm)];
  return new Map(rows.map(([, name = "", type = "", labels = ""]) => [name, { type, labels: labels.split(", ") }]));
}

function assertAsObserved(seen: Scrape): readonly string[] {
  const known = observed();
  const compared: string[] = [];
  for (const [name, { type, samples }] of seen.metrics) {
    const row = known.get(name);
    if (row === undefined) continue;
    compared.push(name);
    assert.equal(type, row.type, name);
    for (const { labels } of samples) assert.deepEqual(Object.keys(labels).sort(), [...row.labels].sort(), name);
  }
  return compared;
}

test("calls between processes are counted on both sides, under the names and labels of a daprd", async (t) => {
  const home = ownHome(t);
  const app = await startInTestApp(t, (request, response) => {
    response.statusCode = request.url === "/missing" ? 404 : 200;
    response.end("0123456789");
  });
  const policy = configuration("accessControl: {defaultAction: allow, trustDomain: public}\n");
  const config = ["--config", join(folderWith(t, { "c.yaml": policy }), "c.yaml")];
  const callee = await startBeside(t, "callee", app.port, { home, flags: config });
  const caller = await startBeside(t, "caller", undefined, { home });
  const call = async (path: string, init?: RequestInit): Promise<number> => {
    const response = await fetch(`${caller.api}/v1.0/invoke/${path}`, init);
    await response.text();
    return response.status;
  };
  for (let i = 0; i < 3; i++) await call("callee/method/x");
  await call("callee/method/x", { method: "POST", body: "x".repeat(2000) });
  await call("callee/method/missing");
  assert.equal(await call("nobody/method/x"), 500);

  const seen = await scrapedWith(
    caller.listed.metricsPort,
    "six calls",
    (s) => s.count("http_server_request_count") >= 6,
  );
  const path = "/v1.0/invoke/callee/method/x";
  for (const name of ["http_server_request_count", "http_server_response_count", "http_server_latency"]) {
    assert.equal(seen.count(name, { app_id: "caller", method: "GET", path, status: "200" }), 3, name);
    assert.equal(seen.count(name, { method: "POST", path, status: "200" }), 1, name);
    assert.equal(seen.count(name, { path: "/v1.0/invoke/callee/method/missing", status: "404" }), 1, name);
    assert.equal(seen.count(name, { path: "/v1.0/invoke/nobody/method/x", status: "500" }), 1, name);
  }
  const [bytes] = seen.samples("http_server_request_bytes");
  assert.deepEqual(
    [bytes?.sum, bytes?.buckets["1024"], bytes?.buckets["2048"]],
    [2000, bytes && bytes.value - 1, bytes?.value],
  );
  assert.ok((seen.samples("http_server_response_bytes")[0]?.sum ?? 0) >= 50);
  const to = (name: string, more = {}): number => seen.count(`runtime_service_invocation_${name}`, more);
  assert.equal(to("req_sent_total", { dst_app_id: "callee", type: "unary" }), 5);
  assert.equal(to("res_recv_total", { src_app_id: "callee", type: "unary", status: "200" }), 4);
  assert.equal(to("res_recv_total", { src_app_id: "callee", status: "404" }), 1);
  assert.equal(to("res_recv_latency_ms", { src_app_id: "callee" }), 5);
  assert.equal(to("req_sent_total", { dst_app_id: "nobody" }), 0);

  const there = await scrapedWith(
    callee.listed.metricsPort,
    "five",
    (s) => s.count("http_client_completed_count") >= 5,
  );
  const received = (name: string, more = {}): number => there.count(`runtime_service_invocation_${name}`, more);
  assert.equal(received("req_recv_total", { src_app_id: "caller", app_id: "callee" }), 5);
  assert.equal(received("res_sent_total", { dst_app_id: "caller", status: "200" }), 4);
  assert.equal(there.count("http_client_completed_count", { method: "GET", path: "/x", status: "200" }), 3);
  assert.equal(there.count("http_client_roundtrip_latency", { path: "/missing", status: "404" }), 1);
  assert.equal(there.samples("http_client_sent_bytes", { method: "POST", path: "/x" })[0]?.sum, 2000);
  assert.equal(there.samples("http_client_received_bytes")[0]?.sum, 50);
  assert.equal(there.count("runtime_acl_global_policy_action_allowed_total"), 5);

  const compared = new Set([...assertAsObserved(seen), ...assertAsObserved(there)]);
  const expected = [...observed().keys()].filter((name) => !/_pubsub_|_component_/.test(name));
  assert.deepEqual(
    expected.filter((name) => !compared.has(name)),
    [],
  );
  assert.ok((seen.metrics.get("process_resident_memory_bytes")?.samples[0]?.value ?? 0) > 10_000_000);
});

test("apps of one process have their own counts and ports, and calls between them are those of any two apps", async (t) => {
  const app = await startInTestApp(t);
  const policy = configuration(
    "accessControl: {defaultAction: deny, trustDomain: public, policies: [{appId: front, trustDomain: public, namespace: default, defaultAction: allow, operations: [{name: /no, httpVerb: ['*'], action: deny}]}]}\n",
  );
  const apps = [{ appID: "front" }, { appID: "other" }, { appID: "back", appPort: app.port, configFilePath: "c.yaml" }];
  const { api, listed, outrigger } = await startTogether(t, apps, { "c.yaml": policy });
  const statusOf = async (from: string, path: string): Promise<number> =>
    (await fetch(`${api(from)}/v1.0/invoke/back/method/${path}`)).status;
  assert.deepEqual(
    [await statusOf("front", "x"), await statusOf("front", "no"), await statusOf("other", "x")],
    [200, 403, 403],
  );
  const ports = ["front", "other", "back"].map((id) => listed(id).metricsPort);
  assert.equal(new Set(ports).size, 3);
  for (const port of ports) assert.match(outrigger.stdout, new RegExp(`, metrics on ${String(port)}\\b`));
  const front = await scrapedWith(ports[0], "two calls", (s) => s.count("http_server_request_count") >= 2);
  assert.equal(
    front.count("http_server_request_count", { app_id: "front", path: "/v1.0/invoke/back/method/no", status: "403" }),
    1,
  );
  assert.equal(front.count("runtime_service_invocation_req_sent_total", { dst_app_id: "back" }), 2);
  assert.equal(front.count("runtime_service_invocation_res_recv_total", { src_app_id: "back" }), 1);
  const back = await scrape(ports[2]);
  assert.equal(
    back.count("http_server_request_count"),
    back.count("http_server_request_count", { path: "/v1.0/healthz" }),
  );
  assert.equal(back.count("runtime_service_invocation_req_recv_total", { src_app_id: "front" }), 2);
  assert.equal(back.count("runtime_service_invocation_req_recv_total", { src_app_id: "other" }), 1);
  const judged = (who: string, what: string, app_id: string): number =>
    back.count(`runtime_acl_${who}_policy_action_${what}_total`, { app_id, namespace: "default" });
  assert.deepEqual([judged("app", "allowed", "front"), judged("app", "blocked", "front")], [1, 1]);
  assert.equal(judged("global", "blocked", "other"), 1);
});

test("calls of gRPC are counted on both APIs and to an app that speaks it", async (t) => {
  const home = ownHome(t);
  const app = await startGrpcApp(t, { onInvoke: () => ({ body: Buffer.from("12345") }) });
  const echo = await startEchoService(t);
  const grpcApp = ["--app-protocol", "grpc"];
  const callee = await startBeside(t, "callee", app.port, { home, flags: grpcApp });
  const echoing = await startBeside(t, "echo", echo.port, { home, flags: grpcApp });
  const caller = await startBeside(t, "caller", undefined, { home });
  const dapr = daprClient(t, `127.0.0.1:${caller.listed.grpcPort}`);
  const invoke = (id: string) =>
    callUnary(dapr, "InvokeService", { id, message: { method: "m", httpExtension: { verb: "GET" } } }, new Metadata());
  await invoke("callee");
  await invoke("callee");
  await invoke("nobody");
  const client = new EchoClient(t, caller.listed.grpcPort);
  assert.equal((await client.unary("Unary", [["dapr-app-id", "echo"]]).answered).code, 0);
  const seen = await scrapedWith(
    caller.listed.metricsPort,
    "four",
    (s) => s.count("grpc_io_server_completed_rpcs") >= 4,
  );
  const method = "/dapr.proto.runtime.v1.Dapr/InvokeService";
  for (const name of ["grpc_io_server_completed_rpcs", "grpc_io_server_server_latency"]) {
    assert.equal(seen.count(name, { grpc_server_method: method, grpc_server_status: "OK" }), 2, name);
    assert.equal(seen.count(name, { grpc_server_method: method, grpc_server_status: "Internal" }), 1, name);
    assert.equal(seen.count(name, { grpc_server_method: "/demo.v1.Echo/Unary", grpc_server_status: "OK" }), 1, name);
  }
  assert.equal(seen.count("grpc_io_server_received_bytes_per_rpc", { grpc_server_method: method }), 3);
  assert.equal(seen.count("grpc_io_server_sent_bytes_per_rpc", { grpc_server_method: "/demo.v1.Echo/Unary" }), 0);
  assert.equal(seen.count("runtime_service_invocation_req_sent_total", { dst_app_id: "echo", type: "streaming" }), 1);
  assert.equal(
    seen.count("runtime_service_invocation_res_recv_total", { src_app_id: "echo", type: "streaming", status: "0" }),
    1,
  );
  const there = await scrape(callee.listed.metricsPort);
  const onInvoke = { grpc_client_method: "/dapr.proto.runtime.v1.AppCallback/OnInvoke", grpc_client_status: "OK" };
  assert.equal(there.count("grpc_io_client_completed_rpcs", onInvoke), 2);
  assert.equal(there.samples("grpc_io_client_received_bytes_per_rpc")[0]?.sum, 10);
  const proxied = await scrape(echoing.listed.metricsPort);
  assert.equal(proxied.count("grpc_io_client_roundtrip_latency", { grpc_client_method: "/demo.v1.Echo/Unary" }), 1);
});

test("an endpoint that fails is counted with its retries, its circuit breaker and their states", async (t) => {
  const app = await startInTestApp(t, (_request, response) => {
    response.statusCode = 503;
    response.end();
  });
  const resources = `apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata: {name: ext}
spec: {baseUrl: "http://127.0.0.1:${app.port}"}
---
apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: {name: rules}
spec:
  policies:
    retries: {two: {policy: constant, duration: 5ms, maxRetries: 2}}
    circuitBreakers: {cb: {timeout: 60s, trip: consecutiveFailures >= 3}}
  targets: {apps: {ext: {retry: two, circuitBreaker: cb}}}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: env}
spec: {type: secretstores.local.env, version: v1, metadata: []}
`;
  const spec = configuration("metrics: {recordErrorCodes: true}\n");
  const folder = folderWith(t, { "r/resources.yaml": resources, "c.yaml": spec });
  const flags = ["--resources-path", join(folder, "r"), "--config", join(folder, "c.yaml")];
  const { api, listed } = await startBeside(t, "caller", undefined, { home: ownHome(t), flags });
  const call = async (): Promise<number> => (await fetch(`${api}/v1.0/invoke/ext/method/x`)).status;
  assert.deepEqual([await call(), await call()], [503, 500]);
  const seen = await scrapedWith(
    listed.metricsPort,
    "both calls",
    (s) => s.count("http_server_request_count", { status: "500" }) === 1,
  );
  assert.equal(seen.count("http_client_completed_count", { path: "/x", status: "503" }), 3);
  assert.equal(seen.count("runtime_service_invocation_req_sent_total", { dst_app_id: "ext" }), 3);
  const of = { name: "rules", namespace: "default", flow_direction: "outbound", target: "app_ext" };
  assert.equal(seen.count("resiliency_loaded", { name: "rules" }), 1);
  assert.equal(seen.count("resiliency_count", { ...of, policy: "retry" }), 2);
  assert.equal(seen.count("resiliency_count", { ...of, policy: "circuitbreaker", status: "closed" }), 1);
  assert.equal(seen.count("resiliency_count", { ...of, policy: "circuitbreaker", status: "open" }), 1);
  assert.equal(seen.count("resiliency_activations_total", { ...of, policy: "retry" }), 2);
  assert.equal(seen.count("resiliency_activations_total", { ...of, policy: "circuitbreaker", status: "open" }), 1);
  const states = seen.samples("resiliency_cb_state", of).map(({ labels, value }) => [labels["status"], value]);
  assert.deepEqual(Object.fromEntries(states), { closed: 0, "half-open": 0, open: 1, unknown: 0 });
  const error = { error_code: "ERR_DIRECT_INVOKE", category: "service-invocation" };
  assert.equal(seen.count("error_code_total", error), 1);
  assert.equal(seen.count("runtime_component_loaded"), 1);
  assert.equal(seen.count("runtime_component_init_total", { component: "secretstores.local.env" }), 1);
  assertAsObserved(seen);
});

test("paths are counted as spec.metrics.http says, and rules rewrite what is left", async (t) => {
  const app = await startInTestApp(t);
  const spec = configuration(`metrics:
  latencyDistributionBuckets: [10, 1000]
  rules:
  - {name: dapr_http_client_completed_count, labels: [{name: method, regex: {VERB: "GET|POST"}}]}
  http:
    increasedCardinality: false
    pathMatching: ["/v1.0/invoke/app/method/orders/{id}"]
`);
  const config = ["--config", join(folderWith(t, { "c.yaml": spec }), "c.yaml")];
  const { api, listed } = await startBeside(t, "app", app.port, { home: ownHome(t), flags: config });
  for (let i = 0; i < 3; i++)
    await fetch(`${api}/v1.0/invoke/app/method/orders/${i}`, { method: i === 0 ? "POST" : "GET" });
  await fetch(`${api}/v1.0/invoke/app/method/other`);
  const seen = await scrapedWith(listed.metricsPort, "four calls", (s) => s.count("http_client_completed_count") >= 4);
  const pattern = "/v1.0/invoke/app/method/orders/{id}";
  assert.equal(seen.count("http_server_request_count", { method: "GET", path: pattern }), 2);
  assert.equal(seen.count("http_server_request_count", { method: "POST", path: pattern }), 1);
  assert.equal(seen.count("http_client_completed_count", { method: "VERB", path: "" }), 4);
  const [latency] = seen.samples("http_server_latency", { path: pattern });
  assert.deepEqual(Object.keys(latency?.buckets ?? {}), ["10", "1000", "+Inf"]);
});

test("an answer that streams is counted with all its bytes once it has ended", async (t) => {
  const app = await startInTestApp(t, (_request, response) => {
    response.write("x".repeat(100_000));
    setImmediate(() => response.end("y".repeat(50_000)));
  });
  const { api, listed } = await startBeside(t, "app", app.port, { home: ownHome(t) });
  const before = (await scrape(listed.metricsPort)).samples("http_server_response_bytes")[0]?.sum ?? 0;
  await (await fetch(`${api}/v1.0/invoke/app/method/x`)).text();
  const path = "/v1.0/invoke/app/method/x";
  const seen = await scrapedWith(
    listed.metricsPort,
    "the call",
    (s) => s.count("http_server_request_count", { path }) === 1,
  );
  assert.equal((seen.samples("http_server_response_bytes")[0]?.sum ?? 0) - before, 150_000);
});

test("whatever is asked of the metrics port, it answers with the metrics, as text", async (t) => {
  const { listed } = await startBeside(t, "app", undefined, { home: ownHome(t) });
  for (const path of ["/", "/metrics", "/any/where?x=1"]) {
    const response = await fetch(`http://127.0.0.1:${String(listed.metricsPort)}${path}`);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert.match(await response.text(), /^process_resident_memory_bytes \d+$/m);
  }
});

test("metrics that are switched off, by flag or Configuration, have no port", async (t) => {
  const home = ownHome(t);
  const spec = configuration("metric: {enabled: false}\n");
  const config = ["--config", join(folderWith(t, { "c.yaml": spec }), "c.yaml")];
  const byFlag = await startBeside(t, "flagged", undefined, { home, flags: ["--enable-metrics=false"] });
  const byConfig = await startBeside(t, "configured", undefined, { home, flags: config });
  assert.deepEqual([byFlag.listed.metricsPort, byConfig.listed.metricsPort], [undefined, undefined]);
});

test("a metrics port that is taken stops the start, and says which flag chooses another", async (t) => {
  const taken = net.createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  t.after(() => taken.close());
  const { port } = taken.address() as net.AddressInfo;
  const flags = ["--metrics-port", String(port), "--metrics-listen-address", "127.0.0.1"];
  const apis = ["--dapr-http-port", String(await ownPort()), "--dapr-grpc-port", String(await ownPort())];
  const run = await runToEnd(t, ["sidecar", "--app-id", "x", ...apis, ...flags], { home: ownHome(t) });
  assert.equal(run.code, 1);
  assert.match(
    run.stderr,
    new RegExp(`127\\.0\\.0\\.1:${port} for the metrics of x: the port is in use; .*--metrics-port`),
  );
});

test("a call whose caller leaves before its answer is counted as 500, as in daprd", async (t) => {
  const app = await startInTestApp(t, () => undefined);
  const { api, listed } = await startBeside(t, "app", app.port, { home: ownHome(t) });
  const leaving = new AbortController();
  const call = fetch(`${api}/v1.0/invoke/app/method/x`, { signal: leaving.signal }).catch(() => undefined);
  await waitFor("the call to reach the app", () => app.whole.length === 1);
  leaving.abort();
  await call;
  const path = "/v1.0/invoke/app/method/x";
  await scrapedWith(
    listed.metricsPort,
    "the call",
    (s) => s.count("http_server_response_count", { path, status: "500" }) === 1,
  );
});
