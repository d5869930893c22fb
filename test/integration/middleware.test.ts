import assert from "node:assert/strict";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { callH2, connectH2 } from "../support/h2-client.ts";
import { ROOT } from "../support/outrigger.ts";
import { folderWith, ownHome, type RunningApp, runToEnd, startBeside } from "../support/processes.ts";
import { RawConnection } from "../support/raw-http.ts";
import { type InTestApp, startInTestApp } from "../support/raw-http-app.ts";
import { startUpgradeApp } from "../support/upgrade-app.ts";

/** `spec.httpPipeline` in front of the API, `spec.appHttpPipeline` in front of the app and of HTTP endpoints. */

function component(name: string, type: string, fields: Readonly<Record<string, string>>, more = ""): string {
  const metadata = Object.entries(fields).map(([field, value]) => ({ name: field, value }));
  return `apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: ${name}}
spec: {type: middleware.http.${type}, version: v1, metadata: ${JSON.stringify(metadata)}${more.startsWith(",") ? more : ""}}
${more.startsWith(",") ? "" : more}
---
`;
}

/** A Configuration whose pipelines have these steps: `name:type` each. */
function configuration(pipelines: { readonly http?: readonly string[]; readonly app?: readonly string[] }): string {
  const handlers = (steps: readonly string[] = []): string => {
    const listed = steps
      .map((step) => step.split(":"))
      .map(([name, type]) => `{name: ${name}, type: middleware.http.${type}}`);
    return `{handlers: [${listed.join(", ")}]}`;
  };
  return `apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata: {name: c}
spec:
  httpPipeline: ${handlers(pipelines.http)}
  appHttpPipeline: ${handlers(pipelines.app)}
`;
}

interface Setting {
  readonly http?: readonly string[];
  readonly app?: readonly string[];
  readonly components: string;
  /** Beside the components. */
  readonly files?: Readonly<Record<string, string>>;
}

function flagsOf(t: TestContext, setting: Setting): string[] {
  const files = Object.entries(setting.files ?? {}).map(([name, text]) => [`resources/${name}`, text] as const);
  const folder = folderWith(t, {
    ...Object.fromEntries(files),
    "resources/components.yaml": setting.components,
    "config.yaml": configuration(setting),
  });
  return ["--resources-path", `${folder}/resources`, "--config", `${folder}/config.yaml`];
}

/** A sidecar with these pipelines, beside an app that says what it got. */
async function start(t: TestContext, setting: Setting): Promise<RunningApp & { readonly app: InTestApp }> {
  const app = await startInTestApp(t, (request, response, body) => {
    response.setHeader("x-app", "a");
    response.end(`${request.method ?? ""} ${request.url ?? ""} ${body}`);
  });
  const running = await startBeside(t, "shop", app.port, { home: ownHome(t), flags: flagsOf(t, setting) });
  return { ...running, app };
}

async function said(url: string, init?: RequestInit): Promise<[status: number, text: string]> {
  const response = await fetch(url, init);
  return [response.status, await response.text()];
}

const LOUD = component("loud", "uppercase", {});

for (const pipeline of ["http", "app"] as const) {
  test(`${pipeline}: uppercase changes the body that the app gets, over HTTP/1.1 and HTTP/2`, async (t) => {
    const { api } = await start(t, { [pipeline]: ["loud:uppercase"], components: LOUD });
    const path = "/v1.0/invoke/shop/method/x";
    assert.deepEqual(await said(`${api}${path}`, { method: "POST", body: "text" }), [200, "POST /x TEXT"]);
    const answer = await callH2(await connectH2(t, api), { path, method: "POST", body: [Buffer.from("text")] });
    assert.deepEqual([answer.status, String(answer.body)], [200, "POST /x TEXT"]);
  });

  test(`${pipeline}: routerchecker keeps requests from the app`, async (t) => {
    const components = component("check", "routerchecker", { rule: "^[A-Za-z0-9/._-]+$" });
    const { api, app } = await start(t, { [pipeline]: ["check:routerchecker"], components });
    assert.equal((await fetch(`${api}/v1.0/invoke/shop/method/x`)).status, 200);
    const refused = await fetch(`${api}/v1.0/invoke/shop/method/a%20b`, { method: "POST", body: "text" });
    assert.deepEqual([refused.status, await refused.text()], [400, "invalid router"]);
    assert.ok(refused.headers.has("traceparent"));
    assert.equal(refused.headers.get("content-type"), "text/plain; charset=utf-8");
    assert.deepEqual(app.begun, ["GET /x"]);
  });

  test(`${pipeline}: ratelimit answers 429 where a client calls too often`, async (t) => {
    const components = component("limit", "ratelimit", { maxRequestsPerSecond: "0.001" });
    const { api, app } = await start(t, { [pipeline]: ["limit:ratelimit"], components });
    const url = `${api}/v1.0/invoke/shop/method/x`;
    const passed = await fetch(url);
    assert.deepEqual([passed.status, passed.headers.get("ratelimit-remaining")], [200, "0"]);
    assert.deepEqual(await said(url), [429, "You have reached maximum request limit."]);
    assert.equal((await fetch(url, { headers: { "x-forwarded-for": "10.9.9.9" } })).status, 200);
    assert.equal((await fetch(`${api}/v1.0/invoke/shop/method/y`)).status, 200);
    const overH2 = await callH2(await connectH2(t, api), { path: "/v1.0/invoke/shop/method/z" });
    const address = pipeline === "http" ? "127.0.0.1" : undefined;
    assert.deepEqual([overH2.status, overH2.headers["x-rate-limit-request-remote-addr"]], [200, address]);
    assert.equal(app.begun.length, 4);
  });

  test(`${pipeline}: WebSockets and streams of events pass`, async (t) => {
    const text = `export default () => ({ async handle(request, next) {
      const answer = await next(request);
      return { ...answer, headers: [...answer.headers, "X-Step", "s"] };
    } })`;
    const setting = {
      [pipeline]: ["step:module", "check:routerchecker", "limit:ratelimit"],
      components:
        component("step", "module", { path: "step.mjs" }) +
        component("check", "routerchecker", { rule: "." }) +
        component("limit", "ratelimit", { maxRequestsPerSecond: "100" }),
      files: { "step.mjs": text },
    };
    const upgrades = await startUpgradeApp(t);
    const home = ownHome(t);
    const sockets = await startBeside(t, "sockets", upgrades.port, { home, flags: flagsOf(t, setting) });
    const webSocket = new WebSocket(`${sockets.api.replace("http", "ws")}/v1.0/invoke/sockets/method/ws`);
    t.after(() => {
      webSocket.terminate();
    });
    const upgraded = once(webSocket, "upgrade");
    await once(webSocket, "open");
    const [head] = (await upgraded) as [{ readonly headers: Readonly<Record<string, string>> }];
    assert.equal(head.headers["x-step"], "s");
    webSocket.send("hello");
    assert.equal(String((await once(webSocket, "message"))[0]), "hello");
    webSocket.close();
    await once(webSocket, "close");

    let go: () => void = () => assert.fail("not called yet");
    const app = await startInTestApp(t, (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
      go = () => {
        response.end("data: 2\n\n");
      };
    });
    const { api } = await startBeside(t, "events", app.port, { home, flags: flagsOf(t, setting) });
    const headers = { accept: "text/event-stream" };
    const response = await fetch(`${api}/v1.0/invoke/events/method/x`, { headers });
    assert.equal(response.headers.get("x-step"), "s");
    const reader = response.body?.getReader();
    assert.equal(Buffer.from((await reader?.read())?.value ?? []).toString(), "data: 1\n\n");
    go();
    assert.equal(Buffer.from((await reader?.read())?.value ?? []).toString(), "data: 2\n\n");
    assert.equal((await reader?.read())?.done, true);
  });

  test(`${pipeline}: a middleware that fails is a 500, and the log names it`, async (t) => {
    const text = `export default () => ({ handle(request, next) {
      if (request.path.endsWith("/twice")) return next(request).then(() => next(request));
      throw new TypeError("no luck");
    } })`;
    const components = component("broken", "module", { path: "broken.mjs" });
    const setting = { [pipeline]: ["broken:module"], components, files: { "broken.mjs": text } };
    const { api, outrigger } = await start(t, setting);
    const [status, body] = await said(`${api}/v1.0/invoke/shop/method/x`, {
      method: "POST",
      body: "b".repeat(100_000),
    });
    assert.equal(status, 500);
    const { errorCode, message } = JSON.parse(body) as { readonly errorCode: string; readonly message: string };
    assert.equal(errorCode, pipeline === "http" ? "ERR_INTERNAL" : "ERR_DIRECT_INVOKE");
    assert.match(
      message,
      /the middleware Component broken \(middleware\.http\.module\) in .*components\.yaml failed: no luck/,
    );
    await outrigger.waitForOutput(/a middleware failed.*Component broken/s);
    assert.match((await said(`${api}/v1.0/invoke/shop/method/twice`))[1], /failed: it passed a request on twice/);
  });
}

test("routeralias: paths of one's own call apps, and a parameter becomes a field of the query", async (t) => {
  const routes = `{"/mall/info": "/v1.0/invoke/shop/method/mall/info", "/hello/{id}/user": "/v1.0/invoke/shop/method/hello/user"}`;
  const { api } = await start(t, {
    http: ["alias:routeralias"],
    components: component("alias", "routeralias", { routes }),
  });
  assert.deepEqual(await said(`${api}/mall/info?id=123`), [200, "GET /mall/info?id=123 "]);
  assert.deepEqual(await said(`${api}/hello/7/user?b=2`), [200, "GET /hello/user?b=2&id=7 "]);
  assert.deepEqual(await said(`${api}/v1.0/invoke/shop/method/x`), [200, "GET /x "]);
  assert.equal((await fetch(`${api}/other`)).status, 404);
  const metadata = (await (await fetch(`${api}/v1.0/metadata`)).json()) as { readonly id: string };
  assert.equal(metadata.id, "shop");
});

test("routeralias before the app: its own paths by other names", async (t) => {
  const routes = "/new/{id}: /old";
  const { api } = await start(t, {
    app: ["alias:routeralias"],
    components: component("alias", "routeralias", { routes }),
  });
  assert.deepEqual(await said(`${api}/v1.0/invoke/shop/method/new/7`), [200, "GET /old?id=7 "]);
});

test("steps run in the order of the pipeline", async (t) => {
  const components =
    component("alias", "routeralias", { routes: "/short: /v1.0/invoke/shop/method/x" }) +
    component("check", "routerchecker", { rule: "^/v1.0/" });
  const first = await start(t, { http: ["alias:routeralias", "check:routerchecker"], components });
  assert.deepEqual(await said(`${first.api}/short`), [200, "GET /x "]);
  const second = await start(t, { http: ["check:routerchecker", "alias:routeralias"], components });
  assert.deepEqual(await said(`${second.api}/short`), [400, "invalid router"]);
});

test("the pipeline of the app stands in front of HTTP endpoints, too", async (t) => {
  const other = await startInTestApp(t, (_request, response, body) => {
    response.end(body);
  });
  const endpoint = `apiVersion: dapr.io/v1alpha1\nkind: HTTPEndpoint\nmetadata: {name: ext}\nspec: {baseUrl: "http://127.0.0.1:${other.port}"}\n---\n`;
  const { api } = await start(t, { app: ["loud:uppercase"], components: endpoint + LOUD });
  const post = { method: "POST", body: "text" };
  assert.deepEqual(await said(`${api}/v1.0/invoke/ext/method/x`, post), [200, "TEXT"]);
  assert.deepEqual(await said(`${api}/v1.0/invoke/http://127.0.0.1:${other.port}/method/x`, post), [200, "TEXT"]);
});

test("what no component stands behind is told and left out: none, one of another app, one that may fail", async (t) => {
  const components =
    component("others", "uppercase", {}, "scopes: [other]") +
    component("failing", "ratelimit", { maxRequestsPerSecond: "many" }, ", ignoreErrors: true");
  const http = ["missing:uppercase", "others:uppercase", "failing:ratelimit"];
  const { api, outrigger } = await start(t, { http, app: ["failing:ratelimit"], components });
  assert.deepEqual(await said(`${api}/v1.0/invoke/shop/method/x`, { method: "POST", body: "text" }), [
    200,
    "POST /x text",
  ]);
  const named = (name: string, why: string) =>
    new RegExp(`config\\.yaml:5: the pipeline names ${name} of type middleware.http.uppercase, ${why}`);
  await outrigger.waitForOutput(named("missing", "and no such Component is loaded"));
  await outrigger.waitForOutput(named("others", "which .*components.yaml keeps for other apps by its scopes"));
  await outrigger.waitForOutput(/Component failing .*maxRequestsPerSecond is "many".*; it was left out/);
});

const UNUSABLE: readonly (readonly [step: string, components: string, why: RegExp])[] = [
  [
    "a:nope",
    component("a", "nope", {}),
    /Component a \(middleware\.http\.nope\) in .*: there is no such middleware.*did you mean middleware\.http\.|there are middleware\.http\.uppercase/,
  ],
  ["a:routerchecke", component("a", "routerchecke", {}), /did you mean middleware\.http\.routerchecker\?/],
  [
    "a:ratelimit",
    component("a", "ratelimit", { maxRequestPerSecond: "1" }),
    /components\.yaml:4: unknown metadata field "maxRequestPerSecond"; did you mean "maxRequestsPerSecond"\?/,
  ],
  [
    "a:module",
    component("a", "module", { path: "gone.mjs" }),
    /Component a \(middleware\.http\.module\) in .*gone\.mjs cannot be loaded: there is no such file/,
  ],
  [
    "a:bearer",
    component("b", "bearer", { issuer: "http://127.0.0.1:9", audience: "a" }),
    /config\.yaml:5: the pipeline names a of type middleware\.http\.bearer, and no such Component is loaded for this app; without it/,
  ],
  ["a:opa", "", /config\.yaml:5: the pipeline names a of type middleware\.http\.opa, and no such Component is loaded/],
];

for (const [step, components, why] of UNUSABLE) {
  test(`a middleware that cannot be used stops the start: ${step}`, async (t) => {
    const flags = flagsOf(t, { http: [step], components });
    const { code, stderr, stdout } = await runToEnd(t, ["run", "--app-id", "shop", ...flags], { home: ownHome(t) });
    assert.notEqual(code, 0);
    assert.match(stdout + stderr, why);
  });
}

test("a guard whose Component is taken away goes on to keep people out, and the log says why", async (t) => {
  const app = await startInTestApp(t);
  const flags = flagsOf(t, {
    app: ["check:routerchecker"],
    components: component("check", "routerchecker", { rule: "^/open" }),
  });
  const { api, outrigger } = await startBeside(t, "shop", app.port, { home: ownHome(t), flags });
  const method = `${api}/v1.0/invoke/shop/method`;
  assert.equal((await fetch(`${method}/other`)).status, 400);
  rmSync(join(flags[1] ?? "", "components.yaml"));
  await outrigger.waitForOutput(
    /could not be read again, and those before stay in use: .*names check of type .*let in/,
  );
  assert.equal((await fetch(`${method}/other`)).status, 400);
  assert.equal((await fetch(`${method}/open`)).status, 200);
});

test("no form of a request gets to the app around the pipeline of the API", async (t) => {
  const text = `export default () => ({ handle: () => ({ status: 418, body: "kept out" }) })`;
  const { api, app } = await start(t, {
    http: ["shut:module"],
    components: component("shut", "module", { path: "shut.mjs" }),
    files: { "shut.mjs": text },
  });
  const path = "/v1.0/invoke/shop/method/x";
  const basic = `Authorization: Basic ${Buffer.from("dapr-app-id:shop").toString("base64")}`;
  const settings = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk";
  const webSocket =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==";
  for (const [target, header] of [
    [path, "X-Plain: 1"],
    ["/x", "dapr-app-id: shop"],
    ["/v1.0/healthz/../x", "dapr-app-id: shop"],
    ["/v1.0/healthz%2f..%2f..%2fx", "dapr-app-id: shop"],
    ["/x", basic],
    [`/v1.0/invoke/http://127.0.0.1:${app.port}/method/x`, "X-Url: 1"],
    [`//v1.0//invoke/shop/method/x`, "dapr-app-id: shop"],
    [`http://elsewhere${path}`, "X-Absolute: 1"],
    ["http://elsewhere/v1.0/healthz/x", "dapr-app-id: shop"],
    [path, settings],
    [path, webSocket],
  ] as const) {
    const connection = await RawConnection.open(t, Number(new URL(api).port));
    connection.write(`GET ${target} HTTP/1.1\r\nHost: a\r\n${header}\r\n\r\n`);
    if (header === settings) connection.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    await connection.waitForText(/kept out/);
  }
  const overH2 = await callH2(await connectH2(t, api), { path: "/x", headers: { "dapr-app-id": "shop" } });
  assert.equal(String(overH2.body), "kept out");
  assert.deepEqual(app.begun, []);
});

test("health is not asked of the pipeline, the token comes before it, and the owner can always stop", async (t) => {
  const text = `export default () => ({ handle: () => ({ status: 418, body: "shut" }) })`;
  const setting = {
    http: ["shut:module"],
    components: component("shut", "module", { path: "shut.mjs" }),
    files: { "shut.mjs": text },
  };
  const home = ownHome(t);
  const env = { DAPR_API_TOKEN: "secret" };
  const { api, outrigger } = await startBeside(t, "shop", undefined, { home, env, flags: flagsOf(t, setting) });
  assert.equal((await fetch(`${api}/v1.0/healthz`)).status, 204);
  assert.equal((await fetch(`${api}/v1.0/metadata`)).status, 401);
  assert.deepEqual(await said(`${api}/v1.0/metadata`, { headers: { "dapr-api-token": "secret" } }), [418, "shut"]);
  assert.equal((await runToEnd(t, ["stop", "shop"], { home })).code, 0);
  assert.equal(await outrigger.exited(), 0);
});

test("the example of a middleware of one's own works", async (t) => {
  const app = await startInTestApp(t);
  const folder = join(ROOT, "examples/middleware");
  const flags = ["--resources-path", join(folder, "resources"), "--config", join(folder, "config.yaml")];
  const { api } = await startBeside(t, "shop", app.port, { home: ownHome(t), flags });
  const url = `${api}/v1.0/invoke/shop/method/x`;
  assert.deepEqual(await said(url), [401, "no key\n"]);
  const response = await fetch(url, { headers: { "x-api-key": "open-sesame" } });
  assert.deepEqual([response.status, await response.text()], [200, "ok"]);
  assert.match(response.headers.get("server-timing") ?? "", /^behind;dur=\d+$/);
  assert.ok(!app.whole[0]?.headers.includes("open-sesame"));
});
