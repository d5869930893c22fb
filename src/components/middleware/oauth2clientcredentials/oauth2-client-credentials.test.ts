import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeJwt } from "jose";
import type { TestScope } from "../../../../test/support/cleanup.ts";
import {
  AUDIENCE,
  CLIENT,
  type OidcServer,
  type OidcServerOptions,
  startOidcServer,
} from "../../../../test/support/oidc-server.ts";
import { type StartedMiddleware, startMiddleware } from "../../../../test/support/started-middleware.ts";
import { oauth2ClientCredentialsManifest } from "./manifest.ts";

function fieldsFor(oidc: OidcServer) {
  return {
    clientId: CLIENT.id,
    clientSecret: CLIENT.secret,
    tokenURL: `${oidc.issuer}/token`,
    headerName: "Authorization",
  };
}

async function start(
  t: TestScope,
  fields: Readonly<Record<string, string>> = {},
  options: OidcServerOptions = {},
): Promise<{ readonly oidc: OidcServer; readonly middleware: StartedMiddleware }> {
  const oidc = await startOidcServer(t, options);
  const all = { ...fieldsFor(oidc), ...fields };
  return { oidc, middleware: await startMiddleware(t, oauth2ClientCredentialsManifest, all) };
}

/** The token that the app got with its latest request. */
function tokenPassed({ passed }: StartedMiddleware, header = "Authorization"): string | undefined {
  const { headers = [] } = passed.at(-1) ?? {};
  const at = headers.indexOf(header);
  return at === -1 ? undefined : headers[at + 1];
}

test("requests go on with one token, in place of what the caller has sent", async (t) => {
  const { oidc, middleware } = await start(t, { scopes: "api" });
  const callers = ["authorization", "Bearer of the caller", "x", "y", "AUTHORIZATION", "too"];
  const answers = await Promise.all([1, 2, 3].map(() => middleware.send({ headers: callers })));
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
  const credentials = tokenPassed(middleware);
  assert.match(credentials ?? "", /^Bearer /);
  const claims = decodeJwt((credentials ?? "").slice("Bearer ".length));
  assert.deepEqual([claims.iss, claims.aud, claims["scope"]], [oidc.issuer, AUDIENCE, "api"]);
  assert.deepEqual(middleware.passed.at(-1)?.headers, ["x", "y", "Authorization", credentials]);
  assert.deepEqual(oidc.asked, ["POST /token"]);
});

for (const [wanted, authStyle, asked] of [
  ["basic authentication", "0", 1],
  ["basic authentication", "2", 1],
  ["the body", "1", 1],
  // It is found out once.
  ["the body", "0", 2],
  ["the body", "", 2],
] as const) {
  test(`authStyle "${authStyle}" with a server that wants ${wanted}`, async (t) => {
    const { oidc, middleware } = await start(t, { authStyle });
    if (wanted === "the body") takesOnlyTheBody(oidc);
    assert.equal((await middleware.send()).status, 200);
    assert.equal(oidc.asked.length, asked);
    middleware.clock.advance(3_600_000);
    assert.equal((await middleware.send()).status, 200);
    assert.equal(oidc.asked.length, asked + 1);
  });
}

/** oidc-provider itself takes both, whatever the client is registered with. */
function takesOnlyTheBody(oidc: OidcServer): void {
  oidc.instead = ({ headers }, response) => {
    if (headers.authorization === undefined) return false;
    const challenge = {
      "content-type": "application/json",
      "www-authenticate": 'Basic realm="r", error="invalid_client"',
    };
    response.writeHead(401, challenge).end('{"error":"invalid_client"}');
    return true;
  };
}

test("a style that the server does not take is told, without the secret", async (t) => {
  const { oidc, middleware } = await start(t, { authStyle: "2" });
  takesOnlyTheBody(oidc);
  const answer = await middleware.send();
  assert.equal(answer.status, 500);
  assert.match(answer.body, /no token from the token server .*; see the sidecar's log/);
  assert.match(
    middleware.logged.join(),
    /error .*requests are answered 500: http:.*\/token: it answered 401 \(invalid_client.*; check clientId and clientSecret/,
  );
  assert.deepEqual(middleware.passed, []);
  assertTellsNo(CLIENT.secret, middleware, answer.body);
});

test("a token is fetched anew shortly before it expires, and serves to its end where that fails", async (t) => {
  const { oidc, middleware } = await start(t, {}, { tokenSeconds: 300 });
  await middleware.send();
  const first = tokenPassed(middleware);
  middleware.clock.advance(269_000);
  await middleware.send();
  assert.equal(tokenPassed(middleware), first);
  assert.equal(oidc.asked.length, 1);
  oidc.instead = (_request, response) => {
    response.writeHead(503).end();
    return true;
  };
  middleware.clock.advance(1_000);
  assert.equal((await middleware.send()).status, 200);
  assert.equal(tokenPassed(middleware), first);
  assert.equal(oidc.asked.length, 2);
  middleware.clock.advance(30_000);
  assert.equal((await middleware.send()).status, 500);
  oidc.instead = undefined;
  middleware.clock.advance(1_000);
  assert.equal((await middleware.send()).status, 200);
  assert.notEqual(tokenPassed(middleware), first);
});

test("a failure is told to all that come within a second, and the server is asked once", async (t) => {
  const { oidc, middleware } = await start(t, { clientSecret: "wrong & secret", authStyle: "2" });
  const answers = await Promise.all([middleware.send(), middleware.send()]);
  answers.push(await middleware.send());
  assert.deepEqual(
    answers.map(({ status }) => status),
    [500, 500, 500],
  );
  assert.equal(oidc.asked.length, 1);
  assert.equal(middleware.logged.length, 1);
  assertTellsNo("wrong & secret", middleware);
  middleware.clock.advance(1_000);
  await middleware.send();
  assert.equal(oidc.asked.length, 2);
});

test("what a server says is logged without the secret, on one line", async (t) => {
  const { oidc, middleware } = await start(t);
  oidc.instead = (_request, response) => {
    const error = {
      error: "invalid_scope",
      error_description: `no\n${CLIENT.secret} ${encodeURIComponent(CLIENT.secret)}`,
    };
    response.writeHead(400, { "content-type": "application/json" }).end(JSON.stringify(error));
    return true;
  };
  assert.equal((await middleware.send()).status, 500);
  assert.match(middleware.logged.join(), /400 \(invalid_scope: no\\n\*\*\* \*\*\*\); check scopes/);
});

for (const [what, body, message] of [
  ["no JSON", "<html>", /it gave no token: .*JSON/],
  ["no token in it", "{}", /it gave no token: .*access_token/],
  ["another kind of token", '{"access_token":"a","token_type":"mac"}', /it gave no token|no bearer token/],
  ["a token that breaks a header", '{"access_token":"a\\r\\nb: c","token_type":"bearer"}', /no header can carry/],
  ["more than a token takes", JSON.stringify({ access_token: "a".repeat(1_100_000) }), /more than 1048576 bytes/],
] as const) {
  test(`an answer with ${what} is an error that says so`, async (t) => {
    const { oidc, middleware } = await start(t);
    oidc.instead = (_request, response) => {
      response.writeHead(200, { "content-type": "application/json" }).end(body);
      return true;
    };
    assert.equal((await middleware.send()).status, 500);
    assert.match(middleware.logged.join(), message);
    assert.deepEqual(middleware.passed, []);
  });
}

test("a server that says neither what kind of token nor how long it lives is asked again after five minutes", async (t) => {
  const { oidc, middleware } = await start(t);
  oidc.instead = (_request, response) => {
    response.writeHead(200, { "content-type": "application/json" }).end('{"access_token":"a"}');
    return true;
  };
  await middleware.send();
  assert.equal(tokenPassed(middleware), "Bearer a");
  middleware.clock.advance(269_000);
  await middleware.send();
  assert.equal(oidc.asked.length, 1);
  middleware.clock.advance(1_000);
  await middleware.send();
  assert.equal(oidc.asked.length, 2);
});

test("a server that nobody can reach is named", async (t) => {
  const { oidc, middleware } = await start(t, { endpointParamsQuery: "audience=a" });
  await oidc.stop();
  assert.equal((await middleware.send()).status, 500);
  assert.match(middleware.logged.join(), /http:\/\/127\.0\.0\.1:\d+\/token: it cannot be reached \(ECONNREFUSED\)/);
});

test("pathFilter says which requests are meant, however their path is written", async (t) => {
  const { oidc, middleware } = await start(t, { pathFilter: "^/(?:api/)?admin/.*" });
  for (const path of ["/users/1", "/", "/users/admin"]) {
    await middleware.send({ path });
    assert.equal(tokenPassed(middleware), undefined, path);
  }
  assert.deepEqual(oidc.asked, []);
  for (const path of [
    "/admin/x",
    "/api/admin/x?q=/users",
    "/%61dmin/x",
    "//admin/x",
    "/x/../admin/x",
    "/x/..%2fadmin/x",
  ]) {
    await middleware.send({ path });
    assert.match(tokenPassed(middleware) ?? "", /^Bearer /, path);
  }
});

test("further parameters go to the token server, and the header can have another name", async (t) => {
  const { oidc, middleware } = await start(t, { endpointParamsQuery: "resource=urn%3Ax&a=1", headerName: "X-Token" });
  let sent = "";
  oidc.instead = (request, response) => {
    void (async () => {
      for await (const chunk of request.setEncoding("utf8") as AsyncIterable<string>) sent += chunk;
      response.writeHead(200, { "content-type": "application/json" }).end('{"access_token":"a","expires_in":"60"}');
    })();
    return true;
  };
  await middleware.send();
  assert.equal(tokenPassed(middleware, "X-Token"), "Bearer a");
  assert.deepEqual(Object.fromEntries(new URLSearchParams(sent)), {
    resource: "urn:x",
    a: "1",
    grant_type: "client_credentials",
  });
});

for (const [what, fields, message] of [
  ["no secret", { clientSecret: "" }, /component\.yaml:\d+: metadata field clientSecret is missing or empty/],
  ["a URL that is none", { tokenURL: "here" }, /component\.yaml:\d+: metadata field tokenURL is no URL/],
  ["a user in the URL", { tokenURL: "https://me:hidden@x/" }, /tokenURL names a user; leave out/],
  ["no header", { headerName: "" }, /metadata field headerName is missing/],
  ["a header that is none", { headerName: "a b" }, /headerName is not the name of a header/],
  ["another style", { authStyle: "3" }, /authStyle is 0 \(find out\)/],
  [
    "a filter that is none",
    { pathFilter: "(" },
    /component\.yaml:\d+: metadata field pathFilter is no regular expression/,
  ],
  ["a misspelled field", { tokenUri: "x" }, /unknown metadata field "tokenUri"; did you mean "tokenURL"\?/],
] as const) {
  test(`${what} is an error that says so`, async (t) => {
    await assert.rejects(start(t, fields), (error: Error) => {
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /hidden/);
      return true;
    });
  });
}

function assertTellsNo(secret: string, { logged }: StartedMiddleware, body = ""): void {
  for (const form of [secret, encodeURIComponent(secret), Buffer.from(`${CLIENT.id}:${secret}`).toString("base64")]) {
    assert.ok(!`${logged.join()} ${body}`.includes(form), "the secret was told");
  }
}
