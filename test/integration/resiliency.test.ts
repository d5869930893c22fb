import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { type TestContext, test } from "node:test";
import { folderWith, ownHome, startBeside } from "../support/processes.ts";
import { startInTestApp } from "../support/raw-http-app.ts";
import { waitFor } from "../support/wait.ts";

/** `kind: Resiliency`, for apps and endpoints: what is tried how often, and when it is left alone (A3). */

function resiliency(policies: string, targets: string): string {
  return `apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: {name: r}
spec:
  policies: ${policies}
  targets: {apps: ${targets}}
`;
}

async function start(t: TestContext, appPort: number, resources: string, configuration?: string) {
  const endpoint = `apiVersion: dapr.io/v1alpha1\nkind: HTTPEndpoint\nmetadata: {name: ext}\nspec: {baseUrl: "http://127.0.0.1:${appPort}"}\n`;
  const files = { "r/resiliency.yaml": resources, "r/endpoint.yaml": endpoint, "config.yaml": configuration ?? "" };
  const folder = folderWith(t, files);
  const home = ownHome(t);
  await startBeside(t, "callee", appPort, { home });
  const config = configuration === undefined ? [] : ["--config", `${folder}/config.yaml`];
  const flags = ["--resources-path", `${folder}/r`, ...config];
  const { api, outrigger } = await startBeside(t, "caller", undefined, { home, flags });
  return {
    call: (target: string, init?: RequestInit) => fetch(`${api}/v1.0/invoke/${target}/method/x`, init),
    outrigger,
  };
}

const THREE = "{three: {policy: constant, duration: 5ms, maxRetries: 3, matching: {httpStatusCodes: 500-599}}}";

for (const target of ["callee", "ext"]) {
  test(`${target}: an app that fails one call in three is asked exactly as often as the policy says`, async (t) => {
    let calls = 0;
    const app = await startInTestApp(t, (_request, response) => {
      response.statusCode = ++calls % 3 === 0 ? 503 : 200;
      response.end(String(calls));
    });
    const { call } = await start(t, app.port, resiliency(`{retries: ${THREE}}`, `{${target}: {retry: three}}`));
    const seen: [number, string][] = [];
    for (let i = 0; i < 6; i++) {
      const response = await call(target);
      seen.push([response.status, await response.text()]);
    }
    assert.deepEqual(
      seen.map(([status]) => status),
      [200, 200, 200, 200, 200, 200],
    );
    // Of eight calls the third and the sixth failed, and were made again.
    assert.deepEqual([calls, seen.at(-1)?.[1]], [8, "8"]);
  });

  test(`${target}: the last answer is given out where every try fails, and codes that are not named are not tried`, async (t) => {
    let calls = 0;
    const app = await startInTestApp(t, (request, response) => {
      calls++;
      response.statusCode = request.headers["x-status"] === undefined ? 503 : Number(request.headers["x-status"]);
      response.end(`call ${calls}`);
    });
    const { call } = await start(t, app.port, resiliency(`{retries: ${THREE}}`, `{${target}: {retry: three}}`));
    const response = await call(target, { method: "POST", body: "a body that is sent each time" });
    assert.deepEqual([response.status, await response.text(), calls], [503, "call 4", 4]);
    assert.deepEqual(new Set(app.whole.map(({ body }) => body)), new Set(["a body that is sent each time"]));
    assert.equal((await call(target, { headers: { "x-status": "404" } })).status, 404);
    assert.equal(calls, 5);
  });
}

test("a circuit opens after its failures, lets nothing pass, and closes when a try succeeds", async (t) => {
  let isDown = true;
  let calls = 0;
  const app = await startInTestApp(t, (_request, response) => {
    calls++;
    response.statusCode = isDown ? 500 : 200;
    response.end("x");
  });
  const policies = "{circuitBreakers: {cb: {timeout: 4s, trip: consecutiveFailures >= 2}}}";
  const { call, outrigger } = await start(t, app.port, resiliency(policies, "{ext: {circuitBreaker: cb}}"));
  assert.equal(await (await call("ext")).text(), "x");
  assert.equal(await (await call("ext")).text(), "x");
  const refused = await call("ext");
  assert.deepEqual([refused.status, calls], [500, 2]);
  assert.match(await refused.text(), /circuit breaker is open/);
  await outrigger.waitForOutput(/circuit breaker has changed its state .*state=open/);
  isDown = false;
  await waitFor("the circuit to close", async () => (await call("ext")).status === 200);
  assert.equal(calls, 3);
});

test("a try that takes too long has failed; a live event stream is not cut", async (t) => {
  let live: ServerResponse | undefined;
  const app = await startInTestApp(t, (request, response) => {
    if (request.headers.accept !== "text/event-stream") return;
    live = response;
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: 1\n\n");
  });
  const policies = "{timeouts: {fast: 1500ms}, retries: {one: {duration: 5ms, maxRetries: 1}}}";
  const { call } = await start(t, app.port, resiliency(policies, "{ext: {timeout: fast, retry: one}}"));
  const late = await call("ext");
  assert.equal(late.status, 500);
  assert.match(await late.text(), /context deadline exceeded/);
  const reader = (await call("ext", { headers: { accept: "text/event-stream" } })).body?.getReader();
  assert.ok(reader);
  await reader.read();
  // Until a call that began after it has run into its time.
  await (await call("ext")).text();
  live?.write("data: 2\n\n");
  assert.equal(Buffer.from((await reader.read()).value ?? []).toString(), "data: 2\n\n");
  // Who leaves is noticed by its source, though its time does not run any more.
  const left = live === undefined ? undefined : once(live, "close");
  await reader.cancel();
  await left;
});

test("safe retries: what may not be done twice is not, unless it has a key of its own", async (t) => {
  const app = await startInTestApp(t, (_request, response) => {
    response.statusCode = 503;
    response.end();
  });
  const configuration =
    "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\nspec: {invocation: {safeRetries: true}}\n";
  const { call } = await start(t, app.port, resiliency(`{retries: ${THREE}}`, "{ext: {retry: three}}"), configuration);
  const triesOf = async (init: RequestInit): Promise<number> => {
    const before = app.whole.length;
    await call("ext", init);
    return app.whole.length - before;
  };
  assert.equal(await triesOf({ method: "POST", body: "x" }), 1);
  assert.equal(await triesOf({ method: "POST", body: "x", headers: { "idempotency-key": "1" } }), 4);
  assert.equal(await triesOf({ method: "PUT", body: "x" }), 4);
});

test("a document with a mistake is told and left out, and the sidecar starts", async (t) => {
  const app = await startInTestApp(t);
  const { call, outrigger } = await start(t, app.port, resiliency("{timeouts: {fast: soon}}", "{}"));
  assert.equal(await (await call("ext")).text(), "ok");
  await outrigger.waitForOutput(/Could not read resiliency policy r .*"soon" is no duration/);
});
