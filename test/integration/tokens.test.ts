import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { RegistryStore, registryPathIn } from "../../src/runtime/registry/registry-store.ts";
import { ended, ownHome, type RunningApp, runToEnd, startBeside } from "../support/processes.ts";
import { firstAnswers } from "../support/raw-http.ts";
import { type InTestApp, startInTestApp } from "../support/raw-http-app.ts";

/** `DAPR_API_TOKEN` guards the sidecar, `APP_API_TOKEN` the app; and what the metadata says and takes. */

const TOKENS = { DAPR_API_TOKEN: "today", DAPR_API_TOKEN_PREVIOUS: "yesterday" };

async function startCallee(t: TestContext, env: NodeJS.ProcessEnv): Promise<{ app: InTestApp; callee: RunningApp }> {
  const app = await startInTestApp(t);
  return { app, callee: await startBeside(t, "callee", app.port, { home: ownHome(t), env }) };
}

function headerOf(app: InTestApp, name: string): string | undefined {
  const { headers = [] } = app.whole.at(-1) ?? {};
  const at = headers.findIndex((header, index) => index % 2 === 0 && header.toLowerCase() === name);
  return at === -1 ? undefined : headers[at + 1];
}

const ROUTES: readonly [method: string, path: string][] = [
  ["GET", "/v1.0/invoke/callee/method/x"],
  ["GET", "/v1.0/metadata"],
  ["PUT", "/v1.0/metadata/key"],
  ["POST", "/v1.0/shutdown"],
  ["POST", "/v1.0/healthz"],
  ["GET", "/nothing"],
];

for (const offered of [undefined, "", "wrong", "toda", "todays", "Today", "today,yesterday"]) {
  test(`with an API token, ${offered === undefined ? "none" : `"${offered}"`} opens nothing`, async (t) => {
    const { app, callee } = await startCallee(t, TOKENS);
    for (const [method, path] of ROUTES) {
      const header = offered === undefined ? "" : `dapr-api-token: ${offered}\r\n`;
      const request = `${method} ${path} HTTP/1.1\r\nHost: x\r\n${header}Content-Length: 0\r\n\r\n`;
      const [answer] = await firstAnswers(t, callee.listed.httpPort, request, 1);
      assert.deepEqual([path, answer?.status, answer?.body], [path, 401, "invalid api token\n"]);
      assert.equal(answer?.headers["content-type"], "text/plain; charset=utf-8");
      assert.equal(answer.headers["x-content-type-options"], "nosniff");
    }
    assert.deepEqual(app.begun, []);
    assert.equal((await fetch(`${callee.api}/v1.0/healthz`)).status, 204);
  });
}

test("today's token and yesterday's open the API, in any spelling of the header's name", async (t) => {
  const { app, callee } = await startCallee(t, TOKENS);
  for (const [name, token] of [
    ["dapr-api-token", "today"],
    ["Dapr-Api-Token", "yesterday"],
    ["DAPR-API-TOKEN", "today"],
  ] as const) {
    const headers = { [name]: token };
    assert.equal((await fetch(`${callee.api}/v1.0/invoke/callee/method/x`, { headers })).status, 200);
    assert.equal((await fetch(`${callee.api}/v1.0/metadata`, { headers })).status, 200);
  }
  assert.equal(app.whole.length, 3);
});

test("health needs no token", async (t) => {
  const { callee } = await startCallee(t, TOKENS);
  for (const path of ["/v1.0/healthz", "/v1.0/healthz/outbound", "/v1.0/healthz?appid=callee"]) {
    assert.equal((await fetch(`${callee.api}${path}`)).status, 204, path);
  }
});

test("the control token in the registry opens the way to shut down, and nothing else", async (t) => {
  const { app, callee } = await startCallee(t, TOKENS);
  const shutdown = { method: "POST", headers: { "outrigger-control-token": "forged" } };
  assert.equal((await fetch(`${callee.api}/v1.0/shutdown`, shutdown)).status, 401);
  const controlToken = await controlTokenOf(callee);
  for (const [method, path] of ROUTES.filter(([, path]) => path !== "/v1.0/shutdown")) {
    for (const name of ["outrigger-control-token", "dapr-api-token"]) {
      const response = await fetch(`${callee.api}${path}`, { method, headers: { [name]: controlToken } });
      assert.equal(response.status, 401, `${name} opens ${method} ${path}`);
    }
  }
  assert.equal(app.begun.length, 0);
  assert.equal(callee.outrigger.hasExited, false);
  const opened = { method: "POST", headers: { "outrigger-control-token": controlToken } };
  assert.equal((await fetch(`${callee.api}/v1.0/shutdown`, opened)).status, 204);
  assert.equal((await ended(callee.outrigger)).code, 0);
});

/** As `outrigger stop` reads it. */
async function controlTokenOf({ outrigger }: RunningApp): Promise<string> {
  const store = new RegistryStore(registryPathIn(outrigger.home), (message) => {
    assert.fail(message);
  });
  const [entry] = store.all(Date.now());
  await store.close();
  assert.ok(entry);
  return entry.details.controlToken;
}

test("the sidecar's token does not reach the app; where the sidecar has none, the header is the caller's own business", async (t) => {
  const guarded = await startCallee(t, TOKENS);
  const headers = { "dapr-api-token": "today" };
  await fetch(`${guarded.callee.api}/v1.0/invoke/callee/method/x`, { headers });
  assert.equal(guarded.app.whole.length, 1);
  assert.equal(headerOf(guarded.app, "dapr-api-token"), undefined);

  const open = await startCallee(t, {});
  await fetch(`${open.callee.api}/v1.0/invoke/callee/method/x`, { headers });
  assert.equal(headerOf(open.app, "dapr-api-token"), "today");
});

test("a call between two sidecars needs only the token of the one that is asked, and carries none", async (t) => {
  const home = ownHome(t);
  const app = await startInTestApp(t);
  await startBeside(t, "callee", app.port, { home, env: { DAPR_API_TOKEN: "the callee's" } });
  const caller = await startBeside(t, "caller", undefined, { home, env: { DAPR_API_TOKEN: "the caller's" } });
  const url = `${caller.api}/v1.0/invoke/callee/method/x`;
  assert.equal((await fetch(url, { headers: { "dapr-api-token": "the callee's" } })).status, 401);
  assert.equal((await fetch(url, { headers: { "dapr-api-token": "the caller's" } })).status, 200);
  assert.equal(app.whole.length, 1);
  assert.equal(headerOf(app, "dapr-api-token"), undefined);
});

test("APP_API_TOKEN reaches the app as dapr-api-token, in place of whatever the caller sent", async (t) => {
  const home = ownHome(t);
  const app = await startInTestApp(t);
  const callee = await startBeside(t, "callee", app.port, { home, env: { APP_API_TOKEN: "the app's" } });
  const caller = await startBeside(t, "caller", undefined, { home, env: { APP_API_TOKEN: "the caller app's" } });
  for (const { api } of [callee, caller]) {
    for (const headers of [{}, { "dapr-api-token": "forged" }] as Record<string, string>[]) {
      assert.equal((await fetch(`${api}/v1.0/invoke/callee/method/x`, { headers })).status, 200);
      assert.equal(headerOf(app, "dapr-api-token"), "the app's");
      const { headers: flat = [] } = app.whole.at(-1) ?? {};
      assert.ok(!flat.includes("forged"));
    }
  }
});

test("invoke of the command line brings the token of its environment", async (t) => {
  const { callee } = await startCallee(t, TOKENS);
  const { home } = callee.outrigger;
  const invoke = ["invoke", "-a", "callee", "-m", "x"];
  const without = await runToEnd(t, invoke, { home });
  assert.deepEqual([without.code, without.stdout], [1, "invalid api token\n"]);
  const brought = await runToEnd(t, invoke, { home, env: { DAPR_API_TOKEN: "yesterday" } });
  assert.deepEqual([brought.code, brought.stdout], [0, "ok"]);
});

interface Metadata {
  readonly id: string;
  readonly runtimeVersion: string;
  readonly extended: Readonly<Record<string, string>>;
  readonly appConnectionProperties: Readonly<Record<string, unknown>>;
}

async function metadataOf({ api }: RunningApp): Promise<Metadata> {
  const response = await fetch(`${api}/v1.0/metadata`);
  assert.equal(response.status, 200);
  return (await response.json()) as Metadata;
}

test("metadata says who the app is and how it is reached", async (t) => {
  const { app, callee } = await startCallee(t, {});
  const metadata = await metadataOf(callee);
  assert.equal(metadata.id, "callee");
  assert.match(metadata.runtimeVersion, /^(edge|\d+\.\d+\.\d+(-rc\.\d+)?)$/);
  assert.equal(metadata.extended["daprRuntimeVersion"], metadata.runtimeVersion);
  const { port, protocol, channelAddress } = metadata.appConnectionProperties;
  assert.deepEqual([port, protocol, channelAddress], [app.port, "http", "127.0.0.1"]);
});

test("metadata that is put can be got again, as it was sent", async (t) => {
  const { callee } = await startCallee(t, {});
  const put = (key: string, body: string): Promise<Response> =>
    fetch(`${callee.api}/v1.0/metadata/${key}`, { method: "PUT", body });
  for (const [key, value] of [
    ["plain", "a value"],
    ["a%20key%2Fwith", '{"json": "as text"}'],
    ["empty", ""],
    ["unicode", "snow ☃"],
  ] as const) {
    const response = await put(key, value);
    assert.deepEqual([response.status, await response.text()], [204, ""]);
    assert.equal((await metadataOf(callee)).extended[decodeURIComponent(key)], value);
  }
  assert.equal((await put("plain", "another")).status, 204);
  assert.equal((await metadataOf(callee)).extended["plain"], "another");
});
