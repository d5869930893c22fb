import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeJwt } from "jose";
import { Browser } from "../support/browser.ts";
import type { TestScope } from "../support/cleanup.ts";
import { AUDIENCE, CLIENT, startOidcServer } from "../support/oidc-server.ts";
import { ownPort } from "../support/own-port.ts";
import { folderWith, ownHome, runToEnd, startBeside } from "../support/processes.ts";
import { type InTestApp, startInTestApp } from "../support/raw-http-app.ts";

/** The middleware that authenticates, in front of an app behind a real Outrigger, with a real OpenID provider. */

type PipelineName = "httpPipeline" | "appHttpPipeline";
const PIPELINES: readonly PipelineName[] = ["appHttpPipeline"];

type Fields = Readonly<Record<string, string | { readonly secret: string }>>;

function component(type: string, fields: Fields, more = ""): string {
  const items = Object.entries(fields).map(([name, value]) =>
    typeof value === "string"
      ? `  - {name: ${name}, value: ${JSON.stringify(value)}}\n`
      : `  - {name: ${name}, secretKeyRef: {name: ${value.secret}}}\n`,
  );
  return `---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: guard}
spec:
  type: middleware.http.${type}
  version: v1
${more}  metadata:
${items.join("")}`;
}

const SECRETS = `---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: secrets}
spec: {type: secretstores.local.env, version: v1, metadata: []}
`;

function flagsFor(t: TestScope, pipeline: PipelineName, type: string, resources: string): string[] {
  const configuration = `apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata: {name: c}
spec:
  ${pipeline}:
    handlers: [{name: guard, type: middleware.http.${type}}]
`;
  const folder = folderWith(t, { "r/resources.yaml": resources, "config.yaml": configuration });
  return ["--resources-path", `${folder}/r`, "--config", `${folder}/config.yaml`];
}

async function start(
  t: TestScope,
  { port }: InTestApp,
  flags: readonly string[],
  env: Readonly<Record<string, string>> = {},
) {
  const { api, outrigger } = await startBeside(t, "shop", port, { home: ownHome(t), flags, env });
  return { outrigger, method: `${api}/v1.0/invoke/shop/method` };
}

function headersNamed({ whole }: InTestApp, name: string): string[] {
  const { headers = [] } = whole.at(-1) ?? {};
  return headers.filter((_, at) => at % 2 === 1 && headers[at - 1]?.toLowerCase() === name);
}

for (const pipeline of PIPELINES) {
  test(`${pipeline}: bearer lets pass what the issuer has signed for this audience, and nothing else`, async (t) => {
    const oidc = await startOidcServer(t);
    const app = await startInTestApp(t);
    const resources = component("bearer", { issuer: oidc.issuer, audience: AUDIENCE });
    const { method, outrigger } = await start(t, app, flagsFor(t, pipeline, "bearer", resources));
    const token = await oidc.token();
    const call = (headers: Record<string, string>) => fetch(`${method}/x`, { method: "POST", body: "b", headers });
    const refused = await call({});
    assert.deepEqual([refused.status, await refused.text()], [401, "Unauthorized"]);
    const other = await oidc.token({ claims: { aud: "others" } });
    assert.equal((await call({ authorization: `Bearer ${other}` })).status, 401);
    assert.deepEqual(app.begun, []);
    const passed = await call({ authorization: `Bearer ${token}` });
    assert.deepEqual([passed.status, await passed.text()], [200, "ok"]);
    assert.equal(app.whole.at(-1)?.body, "b");
    await oidc.stop();
    assert.equal((await call({ authorization: `Bearer ${token}` })).status, 200);
    for (const secret of [token, other]) assert.ok(!outrigger.output.includes(secret));
  });

  test(`${pipeline}: oauth2 has users log in, and the app gets their token`, async (t) => {
    const app = await startInTestApp(t);
    const port = await ownPort();
    const redirectURL = `http://127.0.0.1:${port}/v1.0/invoke/shop/method/back`;
    const oidc = await startOidcServer(t, { redirectUris: [redirectURL] });
    const fields = {
      clientId: CLIENT.id,
      clientSecret: { secret: "SHOP_SECRET" },
      scopes: "openid,api",
      authURL: `${oidc.issuer}/auth`,
      tokenURL: `${oidc.issuer}/token`,
      authHeaderName: "x-user",
      redirectURL,
    };
    const flags = flagsFor(t, pipeline, "oauth2", SECRETS + component("oauth2", fields));
    const env = { SHOP_SECRET: CLIENT.secret };
    const { method, outrigger } = await start(t, app, ["--dapr-http-port", String(port), ...flags], env);
    const browser = new Browser();
    const { url: back } = await browser.follow(`${method}/orders?x=1`, (next) => next.startsWith(redirectURL));
    const answer = await browser.get(back);
    // What the middleware is asked for is where it sends users back to.
    const own = new URL(`${method}/orders`).pathname;
    const wanted = pipeline === "appHttpPipeline" ? "/orders?x=1" : `${own}?x=1`;
    assert.deepEqual([answer.status, answer.headers.get("location")], [302, wanted]);
    assert.deepEqual(app.begun, []);
    assert.equal(await (await browser.get(`${method}/orders?x=1`, { "x-user": "forged" })).text(), "ok");
    const [token = "", ...others] = headersNamed(app, "x-user");
    assert.deepEqual([decodeJwt(token.slice("Bearer ".length)).sub, others], ["alice", []]);
    const stranger = await new Browser().get(`${method}/orders`);
    assert.equal(stranger.status, 302);
    assert.deepEqual(app.begun, ["GET /orders?x=1"]);
    for (const secret of [CLIENT.secret, token.slice("Bearer ".length)]) assert.ok(!outrigger.output.includes(secret));
  });

  test(`${pipeline}: oauth2clientcredentials adds a token, one for all requests`, async (t) => {
    const oidc = await startOidcServer(t);
    const app = await startInTestApp(t);
    const fields = {
      clientId: CLIENT.id,
      clientSecret: { secret: "SHOP_SECRET" },
      scopes: "api",
      tokenURL: `${oidc.issuer}/token`,
      headerName: "authorization",
    };
    const type = "oauth2clientcredentials";
    const flags = flagsFor(t, pipeline, type, SECRETS + component(type, fields));
    const { method } = await start(t, app, flags, { SHOP_SECRET: CLIENT.secret });
    const answers = await Promise.all(
      [1, 2, 3].map(() => fetch(`${method}/x`, { headers: { authorization: "mine" } })),
    );
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 200],
    );
    const [token = "", ...others] = headersNamed(app, "authorization");
    assert.deepEqual([decodeJwt(token.slice("Bearer ".length)).aud, others], [AUDIENCE, []]);
    assert.deepEqual(oidc.asked, ["POST /token"]);
  });

  test(`${pipeline}: a token server that refuses the client is told, without the secret`, async (t) => {
    const oidc = await startOidcServer(t);
    const app = await startInTestApp(t);
    const fields = {
      clientId: CLIENT.id,
      clientSecret: { secret: "SHOP_SECRET" },
      tokenURL: `${oidc.issuer}/token`,
      headerName: "authorization",
    };
    const type = "oauth2clientcredentials";
    const flags = flagsFor(t, pipeline, type, SECRETS + component(type, fields));
    const { method, outrigger } = await start(t, app, flags, { SHOP_SECRET: "not-the-secret" });
    const answer = await fetch(`${method}/x`);
    assert.equal(answer.status, 500);
    assert.match(await answer.text(), /no token from the token server.*see the sidecar's log/);
    await outrigger.waitForOutput(/it answered 401 \(invalid_client.*check clientId and clientSecret/);
    assert.ok(!outrigger.output.includes("not-the-secret"));
    assert.deepEqual(app.begun, []);
  });

  test(`${pipeline}: a guard that cannot be used lets nobody in, though its ignoreErrors lets the app start`, async (t) => {
    const app = await startInTestApp(t);
    const resources = component("bearer", { audience: AUDIENCE }, "  ignoreErrors: true\n");
    const { method, outrigger } = await start(t, app, flagsFor(t, pipeline, "bearer", resources));
    await outrigger.waitForOutput(/metadata field issuer is missing.*every request is answered 500/);
    assert.equal((await fetch(`${method}/x`)).status, 500);
    assert.deepEqual(app.begun, []);
  });
}

test("a client's token is for HTTP endpoints too, those that pathFilter names", async (t) => {
  const oidc = await startOidcServer(t);
  const upstream = await startInTestApp(t);
  const type = "oauth2clientcredentials";
  const fields = {
    clientId: CLIENT.id,
    clientSecret: { secret: "SHOP_SECRET" },
    tokenURL: `${oidc.issuer}/token`,
    headerName: "authorization",
    pathFilter: "^/admin/",
  };
  const endpoint = `---\napiVersion: dapr.io/v1alpha1\nkind: HTTPEndpoint\nmetadata: {name: ext}\nspec: {baseUrl: "http://127.0.0.1:${upstream.port}"}\n`;
  const flags = flagsFor(t, "appHttpPipeline", type, SECRETS + endpoint + component(type, fields));
  const { api } = await startBeside(t, "a", undefined, {
    home: ownHome(t),
    flags,
    env: { SHOP_SECRET: CLIENT.secret },
  });
  await fetch(`${api}/v1.0/invoke/ext/method/users/1`);
  assert.deepEqual(headersNamed(upstream, "authorization"), []);
  await fetch(`${api}/v1.0/invoke/ext/method/admin/1`);
  assert.match(headersNamed(upstream, "authorization").join(), /^Bearer ey[\w.-]+$/);
});

for (const [what, type, fields, message] of [
  [
    "a misspelled field",
    "bearer",
    { isuer: "http://a", audience: "b" },
    /Component guard .*resources\.yaml:\d+: unknown metadata field "isuer"; did you mean "issuer"/,
  ],
  [
    "a missing secret",
    "oauth2",
    { clientSecret: { secret: "NO_SUCH" } },
    /Component guard in .*clientSecret.*"NO_SUCH"/,
  ],
  [
    "a URL that is none",
    "oauth2clientcredentials",
    { clientId: "a", clientSecret: "hidden", tokenURL: "token" },
    /resources\.yaml:\d+: metadata field tokenURL is no URL/,
  ],
] as const) {
  test(`${what} stops the start, and names the component, the line and the field`, async (t) => {
    const flags = flagsFor(t, "appHttpPipeline", type, SECRETS + component(type, fields));
    const { code, stderr } = await runToEnd(t, ["run", "--app-id", "a", ...flags], { home: ownHome(t) });
    assert.notEqual(code, 0);
    assert.match(stderr, message);
    assert.ok(!stderr.includes("hidden"));
  });
}
