import assert from "node:assert/strict";
import { once } from "node:events";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { TLSSocket } from "node:tls";
import { makeAuthority } from "../support/certificates.ts";
import { folderWith, ownHome, runToEnd, startBeside } from "../support/processes.ts";
import { startInTestApp } from "../support/raw-http-app.ts";

/** APIs that no sidecar stands beside (seeds 001 and 003): HTTPEndpoint resources, and URLs in the place of an app id. */

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers: Headers;
}

async function get(api: string, path: string, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await fetch(`${api}/v1.0/invoke/${path}`, { headers, redirect: "manual" });
  return { status: response.status, body: await response.text(), headers: response.headers };
}

function endpoint(name: string, baseUrl: string, more = ""): string {
  return `apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata:
  name: ${name}
spec:
  baseUrl: ${baseUrl}
${more.replaceAll(/^(?=.)/gm, "  ")}
---
`;
}

function secretStore(type: "file" | "env", metadata = ""): string {
  return `apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: secrets-${type}}
spec:
  type: secretstores.local.${type}
  metadata: [${metadata}]
---
`;
}

/** A sidecar without an app, and these resources. */
async function start(
  t: TestContext,
  resources: string,
  options: { readonly files?: Record<string, string>; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<string> {
  const folder = folderWith(t, { "resources.yaml": resources, ...options.files });
  const flags = ["--resources-path", folder];
  const { api } = await startBeside(t, "caller", undefined, { home: ownHome(t), flags, env: options.env ?? {} });
  return api;
}

test("a URL is called as it stands, in every way of writing it, and gets no token of the app's", async (t) => {
  const app = await startInTestApp(t);
  const api = await start(t, "", { env: { APP_API_TOKEN: "app-token" } });
  const url = `http://127.0.0.1:${app.port}`;
  for (const target of [`${url}/method/a/b?x=1`, `http%3A%2F%2F127.0.0.1%3A${app.port}/method/a/b?x=1`]) {
    assert.equal((await get(api, target, { "x-mine": "m" })).body, "ok");
  }
  const byHeader = await fetch(`${api}/a/b?x=1`, { headers: { "dapr-app-id": url } });
  assert.equal(await byHeader.text(), "ok");
  await get(api, `${url}/base/method/x`);
  await get(api, `${url}/method/`);
  assert.deepEqual(
    app.whole.map(({ line }) => line),
    ["GET /a/b?x=1", "GET /a/b?x=1", "GET /a/b?x=1", "GET /base/x", "GET /"],
  );
  const names = app.whole.flatMap(({ headers }) => headers.filter((_, at) => at % 2 === 0));
  assert.ok(names.some((name) => name.toLowerCase() === "traceparent"));
  for (const secret of ["dapr-api-token", "dapr-caller-app-id", "dapr-app-id"]) {
    assert.ok(!names.some((name) => name.toLowerCase() === secret), secret);
  }
});

test("an endpoint has its own headers, from the document, a secret store and the environment", async (t) => {
  const app = await startInTestApp(t);
  const headers = `headers:
- {name: X-Plain, value: "1"}
- {name: X-Secret, secretKeyRef: {name: redis:password}}
- {name: X-Env, envRef: MY_KEY}
`;
  const resources =
    endpoint("api.example", `http://127.0.0.1:${app.port}/v2/`, headers) +
    secretStore("file", "{name: secretsFile, value: secrets.json}");
  const files = { "secrets.json": JSON.stringify({ redis: { password: "hidden" } }) };
  const api = await start(t, resources, { files, env: { MY_KEY: "from env" } });
  assert.equal((await get(api, "api.example/method/things?x=1", { "x-plain": "mine", "x-mine": "m" })).body, "ok");
  assert.equal(app.whole[0]?.line, "GET /v2/things?x=1");
  const sent = app.whole[0].headers;
  const valuesOf = (name: string) => sent.filter((_, at) => at % 2 === 1 && sent[at - 1]?.toLowerCase() === name);
  assert.deepEqual(["x-plain", "x-secret", "x-env", "x-mine"].map(valuesOf), [["1"], ["hidden"], ["from env"], ["m"]]);
  const metadata = (await (await fetch(`${api}/v1.0/metadata`)).json()) as { readonly httpEndpoints: unknown };
  assert.deepEqual(metadata.httpEndpoints, [{ name: "api.example" }]);
});

test("an endpoint follows redirects, a URL does not; a loop ends, and strangers get no secrets", async (t) => {
  const stranger = await startInTestApp(t);
  const app = await startInTestApp(t, (request, response) => {
    const to = { "/hop": "/landed", "/loop": "/loop", "/away": `http://127.0.0.1:${stranger.port}/there` }[
      request.url ?? ""
    ];
    if (to === undefined) response.end("landed");
    else response.writeHead(302, { location: to }).end();
  });
  const origin = `http://127.0.0.1:${app.port}`;
  const api = await start(t, endpoint("ext", origin, "headers: [{name: X-Key, value: k}]"));
  assert.deepEqual([(await get(api, "ext/method/hop")).body, app.whole.length], ["landed", 2]);
  assert.equal((await get(api, `${origin}/method/hop`)).status, 302);
  const loop = await get(api, "ext/method/loop");
  assert.deepEqual([loop.status, loop.body.includes("stopped after 10 redirects")], [500, true]);
  assert.equal((await get(api, "ext/method/away", { authorization: "Bearer x" })).body, "ok");
  const names = (stranger.whole[0]?.headers ?? []).filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase());
  assert.ok(!names.includes("x-key") && !names.includes("authorization"), names.join());
});

test("TLS: the authority of an endpoint is trusted, its certificate shown, and nobody else's taken", async (t) => {
  const authority = makeAuthority(t);
  const server = authority.issue("server", "DNS:localhost,IP:127.0.0.1");
  const client = authority.issue("client", "DNS:client.test");
  const { ca } = { ca: await import("node:fs").then(({ readFileSync }) => readFileSync(authority.caFile, "utf8")) };
  const listener = https.createServer({
    key: server.key,
    cert: server.cert,
    ca,
    requestCert: true,
    rejectUnauthorized: false,
  });
  listener.on("request", ({ socket }, response) => {
    response.end(socket instanceof TLSSocket && socket.authorized ? "known" : "unknown");
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  t.after(() => {
    listener.close();
    listener.closeAllConnections();
  });
  const url = `https://127.0.0.1:${(listener.address() as AddressInfo).port}`;
  const pem = (text: string): string => JSON.stringify(text);
  const rootCa = `clientTLS:\n  rootCA: {value: ${pem(ca)}}\n`;
  const own = `  certificate: {value: ${pem(client.cert)}}\n  privateKey: {value: ${pem(client.key)}}\n  renegotiation: never\n`;
  const api = await start(
    t,
    endpoint("trusted", url, rootCa) + endpoint("mutual", url, rootCa + own) + endpoint("bare", url),
  );
  assert.equal((await get(api, "trusted/method/x")).body, "unknown");
  assert.equal((await get(api, "mutual/method/x")).body, "known");
  for (const target of ["bare", url]) {
    const { status, body } = await get(api, `${target}/method/x`);
    assert.equal(status, 500);
    assert.match(body, /its certificate is refused.*clientTLS\.rootCA/);
  }
});

test("an event stream arrives as it is sent, also where only the endpoint asks for one", async (t) => {
  let send: ((text: string) => void) | undefined;
  const app = await startInTestApp(t, (request, response) => {
    assert.equal(request.headers.accept, "text/event-stream");
    response.writeHead(200, { "content-type": "text/event-stream" });
    send = (text) => response.write(text);
    send("data: 1\n\n");
  });
  // As seed 001 prints it.
  const accept = 'headers: [{name: Accept, value: "test/event-stream"}]';
  const api = await start(t, endpoint("mcp-server", `http://127.0.0.1:${app.port}`, accept));
  const response = await fetch(`${api}/v1.0/invoke/mcp-server/method/events`);
  assert.equal(response.headers.get("content-type"), "text/event-stream");
  const reader = response.body?.getReader();
  assert.ok(reader);
  for (const n of [1, 2, 3]) {
    if (n > 1) send?.(`data: ${n}\n\n`);
    const { value } = (await reader.read()) as { readonly value?: Uint8Array };
    assert.equal(Buffer.from(value ?? []).toString(), `data: ${n}\n\n`);
  }
  await reader.cancel();
});

test("what cannot be called says why", async (t) => {
  const api = await start(t, "");
  for (const [target, message] of [
    [
      "http://127.0.0.1:1/method/x",
      /^failed to invoke, id: http:\/\/127\.0\.0\.1:1, err: Get "http:\/\/127\.0\.0\.1:1\/x": .*connection refused/,
    ],
    ["http://nowhere.invalid/method/x", /host not found/],
    ["ftp://127.0.0.1/method/x", /err: invalid app id ftp:\/\/127\.0\.0\.1$/],
    ["http://a:99999/method/x", /err: invalid URL http:\/\/a:99999: write http/],
  ] as const) {
    const { status, body } = await get(api, target);
    assert.equal(status, 500);
    assert.match((JSON.parse(body) as { readonly message: string }).message, message);
  }
});

for (const [what, resources, message] of [
  [
    "a missing secret",
    endpoint("ext", "http://a", "headers: [{name: X, secretKeyRef: {name: nope}}]") + secretStore("env"),
    /HTTPEndpoint ext in .*: header X: the secret store secrets-env has no secret "nope"/,
  ],
  [
    "no secret store",
    endpoint("ext", "http://a", "headers: [{name: X, secretKeyRef: {name: nope}}]"),
    /header X comes from a secret, and no secret store is loaded/,
  ],
  [
    "a typo",
    endpoint("ext", "http://a", "header: []"),
    /resources\.yaml:\d+: unknown field "spec\.header"; did you mean "headers"/,
  ],
  ["a wrong URL", endpoint("ext", "ftp://a"), /resources\.yaml:\d+: spec\.baseUrl: "ftp:\/\/a" is no base URL/],
  [
    "a broken certificate",
    endpoint("ext", "https://a", "clientTLS: {rootCA: {value: x}}"),
    /HTTPEndpoint ext in .*clientTLS\.rootCA is no certificate/,
  ],
  [
    "two of one name",
    endpoint("ext", "http://a") + endpoint("ext", "http://b"),
    /HTTPEndpoint ext is defined in .* and once more/,
  ],
] as const) {
  test(`${what} stops the start, and names the resource`, async (t) => {
    const folder = folderWith(t, { "resources.yaml": resources });
    const { code, stderr } = await runToEnd(t, ["run", "--app-id", "a", "--resources-path", folder], {
      home: ownHome(t),
    });
    assert.notEqual(code, 0);
    assert.match(stderr, message);
  });
}

test("an endpoint that is scoped to others, or of another namespace, is none", async (t) => {
  const app = await startInTestApp(t);
  const scoped = endpoint("scoped", `http://127.0.0.1:${app.port}`).replace("spec:", "scopes: [somebody]\nspec:");
  const elsewhere = endpoint("elsewhere", `http://127.0.0.1:${app.port}`).replace(
    "name: elsewhere",
    "name: elsewhere\n  namespace: other",
  );
  const api = await start(t, scoped + elsewhere);
  for (const name of ["scoped", "elsewhere"]) {
    const { status, body } = await get(api, `${name}/method/x`);
    assert.deepEqual([status, body.includes("no host found")], [500, true]);
  }
  assert.equal(app.whole.length, 0);
});
