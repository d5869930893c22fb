import assert from "node:assert/strict";
import { suite, type TestContext, test } from "node:test";
import { callH2, connectH2 } from "../support/h2-client.ts";
import { ownHome, type RunningApp, startBeside } from "../support/processes.ts";
import { firstAnswers, type RawAnswer } from "../support/raw-http.ts";
import { type InTestApp, startInTestApp } from "../support/raw-http-app.ts";

/** `--allowed-origins`, as a browser asks and reads: first a preflight without any token, then the call. */

const SHOP = "https://shop.example.com";
const EVIL = "https://evil.test";
const METHOD = "/v1.0/invoke/callee/method/orders";

interface Callee {
  readonly app: InTestApp;
  readonly callee: RunningApp;
}

async function startCallee(
  t: TestContext,
  allowedOrigins: string | undefined,
  options: { readonly env?: NodeJS.ProcessEnv; readonly handle?: Parameters<typeof startInTestApp>[1] } = {},
): Promise<Callee> {
  const app = await startInTestApp(t, options.handle);
  const flags = allowedOrigins === undefined ? [] : ["--allowed-origins", allowedOrigins];
  return { app, callee: await startBeside(t, "callee", app.port, { home: ownHome(t), flags, env: options.env ?? {} }) };
}

async function send(
  t: TestContext,
  { listed: { httpPort } }: RunningApp,
  line: string,
  headers: Readonly<Record<string, string>>,
): Promise<RawAnswer> {
  const lines = Object.entries({ Host: "x", "Content-Length": "0", ...headers }).map(([name, value]) => {
    return `${name}: ${value}\r\n`;
  });
  const [answer] = await firstAnswers(t, httpPort, `${line} HTTP/1.1\r\n${lines.join("")}\r\n`, 1);
  assert.ok(answer);
  return answer;
}

function corsHeadersOf({ headers }: Pick<RawAnswer, "headers">): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith("access-control-")));
}

const preflight = (origin: string, method = "PUT"): Record<string, string> => ({
  Origin: origin,
  "Access-Control-Request-Method": method,
  "Access-Control-Request-Headers": "content-type,dapr-api-token",
});

const GRANTED = {
  "access-control-allow-origin": SHOP,
  "access-control-allow-methods": "PUT",
  "access-control-allow-headers": "Content-Type, Dapr-Api-Token",
};

suite("CORS", { concurrency: 2, timeout: 240_000 }, () => {
  test("a preflight is answered without a token and without the app, on every path", async (t) => {
    const { app, callee } = await startCallee(t, `${SHOP},https://other.test`, { env: { DAPR_API_TOKEN: "secret" } });
    for (const path of [METHOD, "/v1.0/metadata", "/v1.0/healthz", "/v1.0/shutdown", "/nothing"]) {
      const answer = await send(t, callee, `OPTIONS ${path}`, preflight(SHOP));
      assert.deepEqual([path, answer.status, answer.body], [path, 200, ""]);
      assert.deepEqual(corsHeadersOf(answer), GRANTED);
      assert.equal(answer.headers["traceparent"], "00-00000000000000000000000000000000-0000000000000000-00");
    }
    const denied = await send(t, callee, `OPTIONS ${METHOD}`, preflight(EVIL));
    assert.deepEqual([denied.status, corsHeadersOf(denied)], [200, {}]);
    const strange = await send(t, callee, `OPTIONS ${METHOD}`, preflight(SHOP, "PROPFIND"));
    assert.deepEqual([strange.status, corsHeadersOf(strange)], [200, {}]);
    assert.deepEqual(app.begun, []);
  });

  test("an allowed origin may read every answer: the app's, errors, refusals, health", async (t) => {
    const { app, callee } = await startCallee(t, "https://*.example.com", { env: { DAPR_API_TOKEN: "secret" } });
    const token = { "dapr-api-token": "secret" };
    const calls: readonly [line: string, headers: Record<string, string>, status: number][] = [
      [`PUT ${METHOD}`, token, 200],
      [`PUT ${METHOD}`, {}, 401],
      ["GET /v1.0/invoke/nobody/method/x", token, 500],
      ["GET /nothing", token, 404],
      ["GET /v1.0/metadata", token, 200],
      ["GET /v1.0/healthz", {}, 204],
    ];
    for (const [line, headers, status] of calls) {
      const allowed = await send(t, callee, line, { Origin: SHOP, ...headers });
      assert.deepEqual([line, allowed.status], [line, status]);
      assert.deepEqual(corsHeadersOf(allowed), { "access-control-allow-origin": SHOP }, line);
      assert.equal(allowed.headers["vary"], "Origin");
      const denied = await send(t, callee, line, { Origin: EVIL, ...headers });
      assert.deepEqual([line, denied.status, corsHeadersOf(denied)], [line, status, {}]);
      assert.equal(denied.headers["vary"], "Origin");
    }
    // A call is made whatever its origin: it is the browser that keeps the answer from the page.
    assert.deepEqual(app.begun, ["PUT /orders", "PUT /orders"]);
  });

  test("an OPTIONS that is no preflight goes to the app", async (t) => {
    const { app, callee } = await startCallee(t, "*");
    const answer = await send(t, callee, `OPTIONS ${METHOD}`, { Origin: SHOP });
    assert.deepEqual([answer.status, answer.body], [200, "ok"]);
    assert.deepEqual(corsHeadersOf(answer), { "access-control-allow-origin": "*" });
    assert.deepEqual(app.begun, ["OPTIONS /orders"]);
  });

  test("an app that answers for itself is passed on, once", async (t) => {
    const { callee } = await startCallee(t, "*", {
      handle: (_, response) => {
        response.writeHead(200, { "Access-Control-Allow-Origin": "https://own.test", Vary: "Accept, Origin" });
        response.end("ok");
      },
    });
    const response = await fetch(`${callee.api}${METHOD}`, { headers: { Origin: SHOP } });
    assert.equal(response.headers.get("access-control-allow-origin"), "https://own.test");
    assert.equal(response.headers.get("vary"), "Accept, Origin");
  });

  test("bodies stream as ever, and an answer that breaks off is seen to", async (t) => {
    const { callee } = await startCallee(t, "*", {
      handle: (request, response) => {
        if (request.url === "/broken") {
          response.write("some");
          setImmediate(() => response.destroy());
        } else response.end(Buffer.alloc(2 ** 20, "x"));
      },
    });
    const at = `${callee.api}/v1.0/invoke/callee/method`;
    const response = await fetch(`${at}/whole`, { headers: { Origin: SHOP } });
    assert.equal(response.headers.get("access-control-allow-origin"), "*");
    assert.equal((await response.arrayBuffer()).byteLength, 2 ** 20);
    await assert.rejects(async () => (await fetch(`${at}/broken`, { headers: { Origin: SHOP } })).text());
  });

  test("over HTTP/2 it is the same", async (t) => {
    const { app, callee } = await startCallee(t, SHOP, { env: { DAPR_API_TOKEN: "secret" } });
    const session = await connectH2(t, callee.api);
    const lower = Object.fromEntries(
      Object.entries(preflight(SHOP)).map(([name, value]) => [name.toLowerCase(), value]),
    );
    const asked = await callH2(session, { method: "OPTIONS", path: METHOD, headers: lower });
    assert.equal(asked.status, 200);
    assert.deepEqual(corsHeadersOf({ headers: asked.headers as Record<string, string> }), GRANTED);
    const headers = { origin: SHOP, "dapr-api-token": "secret" };
    const called = await callH2(session, { method: "PUT", path: METHOD, headers });
    assert.deepEqual([called.status, called.headers["access-control-allow-origin"]], [200, SHOP]);
    assert.deepEqual(app.begun, ["PUT /orders"]);
  });

  for (const none of [undefined, ""]) {
    test(`without origins (${none === undefined ? "no flag" : "an empty one"}) all is left to the app`, async (t) => {
      const { app, callee } = await startCallee(t, none);
      const answer = await send(t, callee, `OPTIONS ${METHOD}`, preflight(SHOP));
      assert.deepEqual([answer.status, answer.body, corsHeadersOf(answer)], [200, "ok", {}]);
      assert.equal(answer.headers["vary"], undefined);
      assert.deepEqual(app.begun, ["OPTIONS /orders"]);
    });
  }
});
