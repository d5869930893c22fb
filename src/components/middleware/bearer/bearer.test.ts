import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { type TestContext, test } from "node:test";
import { exportSPKI } from "jose";
import type { TestScope } from "../../../../test/support/cleanup.ts";
import { ManualClock } from "../../../../test/support/manual-clock.ts";
import { AUDIENCE, type OidcServer, signingKey, startOidcServer } from "../../../../test/support/oidc-server.ts";
import { type StartedMiddleware, startMiddleware } from "../../../../test/support/started-middleware.ts";
import { waitFor } from "../../../../test/support/wait.ts";
import { bearerManifest } from "./manifest.ts";

const DISCOVERY = "GET /.well-known/openid-configuration";

async function start(t: TestScope, fields: Readonly<Record<string, string>> = {}) {
  const oidc = await startOidcServer(t);
  const all = { issuer: oidc.issuer, audience: AUDIENCE, ...fields };
  return { oidc, bearer: await startMiddleware(t, bearerManifest, all) };
}

/** A token whose times are those of the middleware's clock. */
function tokenNow(oidc: OidcServer, { clock }: StartedMiddleware, changes: Parameters<OidcServer["token"]>[0] = {}) {
  return oidc.token({ now: clock.now() / 1000, ...changes });
}

async function statusWith({ send }: StartedMiddleware, token: string): Promise<number> {
  return (await send({ headers: ["Authorization", `Bearer ${token}`] })).status;
}

test("a token of the issuer for the audience passes, and goes on as it came", async (t) => {
  const { oidc, bearer } = await start(t);
  const token = await tokenNow(oidc, bearer);
  for (const scheme of ["Bearer", "bearer", "BEARER"]) {
    assert.equal((await bearer.send({ headers: ["authorization", `${scheme} ${token}`] })).status, 200);
  }
  assert.deepEqual(bearer.passed.at(-1)?.headers, ["authorization", `BEARER ${token}`]);
  assert.equal(await statusWith(bearer, await tokenNow(oidc, bearer, { claims: { aud: ["other", AUDIENCE] } })), 200);
});

test("what is no bearer token is answered 401, as contrib answers", async (t) => {
  const { oidc, bearer } = await start(t);
  const token = await tokenNow(oidc, bearer);
  for (const headers of [
    [],
    ["authorization", ""],
    ["authorization", "Bearer"],
    ["authorization", "Bearer "],
    ["authorization", `Basic ${token}`],
    ["authorization", token],
    ["authorization", `Bearer ${token} ${token}`],
    ["authorization", `Bearer ${token}`, "authorization", "Bearer other"],
    ["x-authorization", `Bearer ${token}`],
  ]) {
    const answer = await bearer.send({ headers });
    assert.deepEqual([answer.status, answer.body], [401, "Unauthorized"], headers.join());
    assert.deepEqual(answer.headers.slice(0, 2), ["Content-Type", "text/plain; charset=utf-8"]);
  }
  assert.deepEqual(bearer.passed, []);
});

const REFUSED: Readonly<Record<string, (oidc: OidcServer, bearer: StartedMiddleware) => Promise<string>>> = {
  "of another audience": (oidc, bearer) => tokenNow(oidc, bearer, { claims: { aud: "others" } }),
  "of no audience": (oidc, bearer) => tokenNow(oidc, bearer, { without: ["aud"] }),
  "of another issuer": (oidc, bearer) => tokenNow(oidc, bearer, { claims: { iss: `${oidc.issuer}/` } }),
  "of no issuer": (oidc, bearer) => tokenNow(oidc, bearer, { without: ["iss"] }),
  "that expired five minutes ago": (oidc, bearer) => tokenNow(oidc, bearer, { expiresIn: -300 }),
  "that never expires": (oidc, bearer) => tokenNow(oidc, bearer, { without: ["exp"] }),
  "that is not valid yet": (oidc, bearer) =>
    tokenNow(oidc, bearer, { claims: { nbf: bearer.clock.now() / 1000 + 302 } }),
  "signed by somebody else": async (oidc, bearer) => tokenNow(oidc, bearer, { key: await signingKey() }),
  "signed by somebody else under the issuer's key id": async (oidc, bearer) =>
    tokenNow(oidc, bearer, { key: await signingKey(), kid: oidc.key.kid }),
  "that was changed after it was signed": async (oidc, bearer) => {
    const [head = "", payload = "", signature = ""] = (await tokenNow(oidc, bearer)).split(".");
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as object;
    return [head, encoded({ ...claims, sub: "mallory" }), signature].join(".");
  },
  "without its signature": async (oidc, bearer) => (await tokenNow(oidc, bearer)).replace(/[^.]*$/, ""),
  "of the algorithm none": async (oidc, bearer) => {
    const [, payload = ""] = (await tokenNow(oidc, bearer)).split(".");
    return `${encoded({ alg: "none" })}.${payload}.`;
  },
  "of HMAC with the public key for a secret": async (oidc, bearer) => {
    const [, payload = ""] = (await tokenNow(oidc, bearer)).split(".");
    const signed = `${encoded({ alg: "HS256", kid: oidc.key.kid })}.${payload}`;
    const secret = await exportSPKI(oidc.key.publicKey);
    return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
  },
  "that is no token": () => Promise.resolve("a.b.c"),
  "that is very long": () => Promise.resolve(`a.${"b".repeat(50_000)}.c`),
};

for (const [what, make] of Object.entries(REFUSED)) {
  test(`a token ${what} is answered 401`, async (t) => {
    const { oidc, bearer } = await start(t);
    const token = await make(oidc, bearer);
    assert.equal(await statusWith(bearer, token), 401);
    assert.equal(await statusWith(bearer, token), 401);
    assert.deepEqual(bearer.passed, []);
    assert.ok(!bearer.logged.join().includes(token));
  });
}

function encoded(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

test("clocks may be five minutes apart, and a token that was believed is not beyond that", async (t) => {
  const { oidc, bearer } = await start(t);
  const token = await tokenNow(oidc, bearer, { expiresIn: 60 });
  assert.equal(await statusWith(bearer, token), 200);
  bearer.clock.advance(359_000);
  assert.equal(await statusWith(bearer, token), 200);
  bearer.clock.advance(1_000);
  assert.equal(await statusWith(bearer, token), 401);
});

test("after its keys are others, a token of the new one passes and one of the old does not", async (t) => {
  const { oidc, bearer } = await start(t);
  const before = await tokenNow(oidc, bearer, { expiresIn: 86_400 });
  assert.equal(await statusWith(bearer, before), 200);
  await oidc.rotateKeys();
  bearer.clock.advance(30_000);
  const after = await tokenNow(oidc, bearer);
  assert.equal(await statusWith(bearer, after), 200);
  assert.equal(await statusWith(bearer, before), 401);
});

test("unknown keys make it ask the issuer once in half a minute, however many come", async (t) => {
  const { oidc, bearer } = await start(t);
  const asked = oidc.asked.length;
  bearer.clock.advance(30_000);
  const tokens = await Promise.all([1, 2, 3].map(async () => tokenNow(oidc, bearer, { key: await signingKey() })));
  assert.deepEqual(await Promise.all(tokens.map((token) => statusWith(bearer, token))), [401, 401, 401]);
  for (const token of tokens) assert.equal(await statusWith(bearer, token), 401);
  assert.deepEqual(oidc.asked.slice(asked), [DISCOVERY, "GET /jwks"]);
});

test("an issuer that goes away: its keys serve for a day, and then nothing passes until it is back", async (t) => {
  const { oidc, bearer } = await start(t);
  const token = await tokenNow(oidc, bearer, { expiresIn: 7 * 86_400 });
  assert.equal(await statusWith(bearer, token), 200);
  oidc.instead = (_request, response) => {
    response.writeHead(503).end("down");
    return true;
  };
  bearer.clock.advance(11 * 60_000);
  assert.equal(await statusWith(bearer, token), 200);
  await waitFor("the failure to be logged", () =>
    /warn .*keys could not be read.*go on to serve.*503/.test(bearer.logged.join()),
  );
  bearer.clock.advance(86_400_000);
  const answer = await bearer.send({ headers: ["authorization", `Bearer ${token}`] });
  assert.equal(answer.status, 500);
  assert.match(answer.body, /keys of its issuer could not be read; see the sidecar's log/);
  assert.match(bearer.logged.join(), /every request is answered 500: .*503/);
  oidc.instead = undefined;
  bearer.clock.advance(1_000);
  assert.equal(await statusWith(bearer, token), 200);
});

test("an issuer that is down at the start: the app starts, and nothing passes until it is up", async (t) => {
  const oidc = await startOidcServer(t);
  await oidc.stop();
  const fields = { issuer: oidc.issuer, audience: AUDIENCE };
  const bearer = await startMiddleware(t, bearerManifest, fields);
  assert.match(bearer.logged.join(), /every request is answered 500: http:.*openid-configuration: .*ECONNREFUSED/);
  const token = await tokenNow(oidc, bearer);
  assert.equal(await statusWith(bearer, token), 500);
  const again = await startOidcServer(t, { port: oidc.port });
  bearer.clock.advance(1_000);
  assert.equal(await statusWith(bearer, await tokenNow(again, bearer)), 200);
  assert.equal(bearer.passed.length, 1);
});

test("with jwksURL the issuer is a name and nobody asks for its discovery document", async (t) => {
  const oidc = await startOidcServer(t);
  const fields = { issuer: "the issuer", audience: AUDIENCE, jwksURL: `${oidc.issuer}/jwks` };
  const bearer = await startMiddleware(t, bearerManifest, fields);
  assert.equal(await statusWith(bearer, await tokenNow(oidc, bearer, { claims: { iss: "the issuer" } })), 200);
  assert.equal(await statusWith(bearer, await tokenNow(oidc, bearer)), 401);
  assert.deepEqual(oidc.asked, ["GET /jwks"]);
});

const MISTAKES: Readonly<Record<string, [(issuer: string) => Readonly<Record<string, string>>, RegExp]>> = {
  "an issuer that calls itself otherwise": [
    (issuer) => ({ issuer: `${issuer}/`, audience: AUDIENCE }),
    /it is about the issuer "http:\/\/127\.0\.0\.1:\d+"; write issuer so/,
  ],
  "no issuer": [() => ({ audience: AUDIENCE }), /component\.yaml:\d+: metadata field issuer is missing or empty/],
  "no audience": [(issuer) => ({ issuer }), /metadata field audience is missing or empty/],
  "an issuer that is no URL": [() => ({ issuer: "me", audience: "x" }), /issuer is no URL/],
  "a discovery document for keys": [
    (issuer) => ({ issuer, audience: "x", jwksURL: `${issuer}/.well-known/openid-configuration` }),
    /no keys in it; it is a discovery document: leave jwksURL out/,
  ],
  "an address without keys": [
    (issuer) => ({ issuer, audience: "x", jwksURL: `${issuer}/nothing` }),
    /nothing: it answered 404/,
  ],
  "a misspelled field": [
    (issuer) => ({ issuer, audience: "x", jwksUrls: issuer }),
    /component\.yaml:\d+: unknown metadata field "jwksUrls"; did you mean "jwksURL"\?/,
  ],
};

for (const [what, [fields, message]] of Object.entries(MISTAKES)) {
  test(`${what} is an error that says so`, async (t: TestContext) => {
    const oidc = await startOidcServer(t);
    await assert.rejects(startMiddleware(t, bearerManifest, fields(oidc.issuer), new ManualClock()), message);
  });
}

test("keys are not looked for where an issuer redirects to", async (t) => {
  const oidc = await startOidcServer(t);
  const elsewhere = await startOidcServer(t);
  oidc.instead = (request, response) => {
    response.writeHead(302, { location: elsewhere.issuer + (request.url ?? "") }).end();
    return true;
  };
  const fields = { issuer: oidc.issuer, audience: AUDIENCE };
  await assert.rejects(startMiddleware(t, bearerManifest, fields), /openid-configuration: it answered 302/);
  assert.deepEqual(elsewhere.asked, []);
});
