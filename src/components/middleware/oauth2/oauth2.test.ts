import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { decodeJwt } from "jose";
import { Browser } from "../../../../test/support/browser.ts";
import type { TestScope } from "../../../../test/support/cleanup.ts";
import { CLIENT, type OidcServer, startOidcServer } from "../../../../test/support/oidc-server.ts";
import { type Asked, type StartedMiddleware, startMiddleware } from "../../../../test/support/started-middleware.ts";
import { oauth2Manifest } from "./manifest.ts";

interface Site {
  /** Of the shop, behind the middleware. */
  readonly url: string;
  readonly oidc: OidcServer;
  readonly middleware: StartedMiddleware;
  readonly browser: Browser;
}

type Fields = Readonly<Record<string, string>>;

/** A site with the middleware in front, and its authorization server. */
async function startSite(t: TestScope, fields: Fields = {}): Promise<Site> {
  const server = http.createServer((request, response) => {
    const asked: Asked = { path: request.url ?? "", headers: request.rawHeaders };
    void middleware.send(asked).then(({ status, headers, body }) => {
      response.writeHead(status, [...headers]).end(body);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const redirectURL = fields["redirectURL"] ?? `${url}/back`;
  const oidc = await startOidcServer(t, { redirectUris: [redirectURL], tokenSeconds: 600 });
  const middleware = await startMiddleware(t, oauth2Manifest, { ...fieldsFor(oidc), redirectURL, ...fields });
  return { url, oidc, middleware, browser: new Browser() };
}

function fieldsFor(oidc: OidcServer): Fields {
  return {
    clientId: CLIENT.id,
    clientSecret: CLIENT.secret,
    scopes: "openid, api",
    authURL: `${oidc.issuer}/auth`,
    tokenURL: `${oidc.issuer}/token`,
  };
}

function isBack(url: string): boolean {
  return new URL(url).pathname === "/back";
}

function tokensPassed({ passed }: StartedMiddleware): (string | undefined)[] {
  return passed.map(({ headers }) => headers.find((_, at) => headers[at - 1]?.toLowerCase() === "authorization"));
}

test("who is not logged in is sent to log in, comes back to where they wanted to go, and is known from then on", async (t) => {
  const { url, oidc, middleware, browser } = await startSite(t);
  const { url: last, response } = await browser.follow(`${url}/orders?page=2`);
  assert.deepEqual([last, response.status, await response.text()], [`${url}/orders?page=2`, 200, "ok"]);
  await browser.get(`${url}/more`, { Authorization: "Bearer forged", cookie2: "x" });
  const [first = "", second] = tokensPassed(middleware);
  assert.match(first, /^Bearer /);
  assert.equal(second, first);
  assert.equal(decodeJwt(first.slice("Bearer ".length)).sub, "alice");
  assert.equal(oidc.asked.filter((line) => line === "POST /token").length, 1);
  assert.equal(middleware.passed.at(-1)?.headers.filter((name) => name.toLowerCase() === "authorization").length, 1);
});

test("the browser gets no token, nothing that it could read, and nothing that the app sees", async (t) => {
  const { url, middleware, browser } = await startSite(t);
  browser.cookiesOf(url).set("its-own", "1");
  const answers: Response[] = [];
  const seen = new Browser();
  seen.cookiesOf(url).set("its-own", "1");
  let at = `${url}/`;
  for (let next: string | null = at; next !== null; ) {
    at = new URL(next, at).href;
    const answer = await seen.get(at);
    if (at.startsWith(url)) answers.push(answer);
    next = answer.headers.get("location");
  }
  const [token = ""] = tokensPassed(middleware);
  const cookies = answers.flatMap(({ headers }) => headers.getSetCookie());
  assert.ok(cookies.length >= 3);
  for (const cookie of cookies) assert.match(cookie, /; Path=\/; HttpOnly; SameSite=Lax$/);
  for (const { headers } of answers) {
    assert.ok(!JSON.stringify([...headers]).includes(token.slice("Bearer ".length)));
  }
  for (const part of ["state", "verifier", "returnTo"]) assert.ok(!cookies.join().includes(part));
  const { headers = [] } = middleware.passed.at(-1) ?? {};
  assert.equal(headers[headers.findIndex((name) => name.toLowerCase() === "cookie") + 1], "its-own=1");
});

test("a code that is sent to a browser that did not ask for it logs nobody in", async (t) => {
  const { url, oidc, browser, middleware } = await startSite(t);
  const { url: back } = await browser.follow(`${url}/`, isBack);
  const victim = new Browser();
  const answer = await victim.get(back);
  assert.deepEqual([answer.status, await answer.text()], [400, "invalid state"]);
  await victim.follow(`${url}/`, isBack);
  assert.equal((await victim.get(back)).status, 400);
  assert.deepEqual(
    oidc.asked.filter((line) => line === "POST /token"),
    [],
  );
  // To the browser that asked for it, it does.
  assert.equal((await browser.get(back)).status, 302);
  assert.deepEqual(middleware.passed, []);
});

test("a state that was changed, and a login cookie that was, are refused", async (t) => {
  const { url, browser } = await startSite(t);
  const { url: back } = await browser.follow(`${url}/`, isBack);
  const changed = new URL(back);
  const state = changed.searchParams.get("state") ?? "";
  changed.searchParams.set("state", `${state.slice(0, -1)}${state.endsWith("A") ? "B" : "A"}`);
  assert.equal((await browser.get(changed.href)).status, 400);
  const jar = browser.cookiesOf(url);
  for (const [name, value] of [...jar]) {
    for (const forged of ["", "x", value.slice(0, -2), `${value.startsWith("A") ? "B" : "A"}${value.slice(1)}`]) {
      jar.set(name, forged);
      assert.equal((await browser.get(back)).status, 400);
    }
    jar.set(name, value);
  }
  assert.equal((await browser.get(back)).status, 302);
});

test("a login is over after its code was used, and after ten minutes", async (t) => {
  const { url, browser, middleware, oidc } = await startSite(t);
  const { url: back } = await browser.follow(`${url}/`, isBack);
  const before = new Map(browser.cookiesOf(url));
  assert.equal((await browser.get(back)).status, 302);
  // Once more, as somebody would who has seen both: the server gives nothing twice.
  for (const [name, value] of before) browser.cookiesOf(url).set(name, value);
  assert.equal((await browser.get(back)).status, 500);
  assert.match(middleware.logged.join(), /invalid_grant.*log in anew/);
  assert.ok(!middleware.logged.join().includes(new URL(back).searchParams.get("code") ?? "none"));
  const late = new Browser();
  const { url: lateBack } = await late.follow(`${url}/`, isBack);
  middleware.clock.advance(600_000);
  const asked = oidc.asked.length;
  assert.equal((await late.get(lateBack)).status, 400);
  assert.equal(oidc.asked.length, asked);
});

test("a session ends with its token, and a name that nobody has been given is nobody's", async (t) => {
  const { url, browser, middleware } = await startSite(t);
  await browser.follow(`${url}/`);
  middleware.clock.advance(599_000);
  assert.equal((await browser.get(`${url}/`)).status, 200);
  middleware.clock.advance(1_000);
  assert.equal((await browser.get(`${url}/`)).status, 302);
  const jar = browser.cookiesOf(url);
  for (const name of jar.keys()) if (name.endsWith("session")) jar.set(name, "A".repeat(43));
  assert.equal((await browser.get(`${url}/`)).status, 302);
});

test("pages opened side by side can all log in", async (t) => {
  const { url, browser } = await startSite(t);
  const { url: one } = await browser.follow(`${url}/one`, isBack);
  const { url: two } = await browser.follow(`${url}/two`, isBack);
  assert.equal((await browser.get(one)).headers.get("location"), "/one");
  assert.equal((await browser.get(two)).headers.get("location"), "/two");
  assert.equal((await browser.get(`${url}/`)).status, 200);
});

test("a browser keeps a handful of logins that have begun, however many do", async (t) => {
  const { url, browser } = await startSite(t);
  for (let i = 0; i < 12; i++) await (await browser.get(`${url}/${i}`)).text();
  assert.ok(browser.cookiesOf(url).size <= 4);
});

test("nobody is sent to another server", async (t) => {
  const { oidc, middleware } = await startSite(t);
  for (const path of ["//evil.example/x", "/\\evil.example/x", "/\\/evil.example", "///evil.example?x=//evil"]) {
    const { location, cookies } = await middleware.send({ path });
    const state = new URL(location ?? "").searchParams.get("state") ?? "";
    oidc.instead = (_request, response) => {
      response.writeHead(200, { "content-type": "application/json" }).end('{"access_token":"a","token_type":"bearer"}');
      return true;
    };
    const cookie = cookies.map((line) => line.split(";", 1).join("")).join("; ");
    const back = await middleware.send({ path: `/back?code=c&state=${state}`, headers: ["cookie", cookie] });
    assert.equal(back.status, 302);
    const to = new URL(back.location ?? "", "http://shop.example/back");
    assert.equal(to.host, "shop.example", `${path} led to ${back.location ?? ""}`);
  }
});

test("forceHTTPS: the way back is https to the host of redirectURL, and cookies are for TLS and this host alone", async (t) => {
  const { url, browser } = await startSite(t, { forceHTTPS: "true" });
  const { url: back } = await browser.follow(`${url}/orders?x=1`, isBack);
  const answer = await browser.get(back);
  assert.equal(answer.headers.get("location"), `${url.replace("http:", "https:")}/orders?x=1`);
  for (const cookie of answer.headers.getSetCookie())
    assert.match(cookie, /^__Host-outrigger-oauth2-[^;]*; .*; Secure$/);
});

test("pathFilter: other paths pass as they are, and the way back need not be one of those that it names", async (t) => {
  const { url, browser, middleware } = await startSite(t, { pathFilter: ".*/users/.*" });
  const open = await browser.get(`${url}/open?state=1&code=2`, { authorization: "Bearer of the caller" });
  assert.equal(open.status, 200);
  assert.deepEqual(tokensPassed(middleware), ["Bearer of the caller"]);
  for (const path of ["/users/1", "/x/..//users/1", "/%75sers/1", "/x/users%2f1"]) {
    assert.equal((await middleware.send({ path })).status, 302, path);
  }
  const { url: last } = await browser.follow(`${url}/users/1`);
  assert.equal(last, `${url}/users/1`);
  assert.match(tokensPassed(middleware).at(-1) ?? "", /^Bearer ey/);
  // The session's cookie is not for those behind.
  await browser.get(`${url}/open`);
  assert.ok(!middleware.passed.at(-1)?.headers.join().includes("outrigger"));
});

test("a login that the server refuses, and one that the user leaves, are told", async (t) => {
  const { middleware } = await startSite(t);
  const { location, cookies } = await middleware.send({ path: "/x" });
  const state = new URL(location ?? "").searchParams.get("state") ?? "";
  const cookie = cookies.map((line) => line.split(";", 1).join("")).join("; ");
  const path = `/back?error=access_denied&error_description=%3Cscript%3E&state=${state}`;
  const answer = await middleware.send({ path, headers: ["cookie", cookie] });
  assert.deepEqual([answer.status, answer.body], [400, "the authorization server answered access_denied"]);
  assert.match(middleware.logged.join(), /warn .*let nobody in: it answered access_denied/);
});

test("a token server that is down, or does not know the client: 500, and the log says why without the secret", async (t) => {
  const { url, oidc, browser, middleware } = await startSite(t);
  const { url: back } = await browser.follow(`${url}/`, isBack);
  oidc.instead = (_request, response) => {
    response.writeHead(401, { "content-type": "application/json" });
    response.end(JSON.stringify({ error: "invalid_client", error_description: `not ${CLIENT.secret}` }));
    return true;
  };
  const answer = await browser.get(back);
  assert.deepEqual([answer.status, await answer.text()], [500, "Internal Server Error"]);
  assert.match(
    middleware.logged.join(),
    /\/token: it answered 401 \(invalid_client: not \*\*\*\); check clientId and clientSecret/,
  );
});

test("the authorization server is asked with a challenge and exactly what was configured", async (t) => {
  const { middleware, url, oidc } = await startSite(t);
  const { location, status } = await middleware.send({ path: "/x" });
  const asked = new URL(location ?? "");
  assert.deepEqual([status, asked.origin + asked.pathname], [302, `${oidc.issuer}/auth`]);
  const { state, code_challenge, ...others } = Object.fromEntries(asked.searchParams);
  assert.match(`${state ?? ""} ${code_challenge ?? ""}`, /^[\w-]{43} [\w-]{43}$/);
  assert.deepEqual(others, {
    response_type: "code",
    client_id: CLIENT.id,
    redirect_uri: `${url}/back`,
    scope: "openid api",
    code_challenge_method: "S256",
  });
});

for (const [what, fields, message] of [
  ["no secret", { clientSecret: "" }, /component\.yaml:\d+: metadata field clientSecret is missing or empty/],
  ["no redirectURL", { redirectURL: "" }, /metadata field redirectURL is missing/],
  ["an authURL that is none", { authURL: "/auth" }, /component\.yaml:\d+: metadata field authURL is no URL/],
  ["a header that is none", { authHeaderName: "a:" }, /authHeaderName is not the name of a header/],
  ["a misspelled field", { authUri: "x" }, /unknown metadata field "authUri"; did you mean "authURL"\?/],
] as const) {
  test(`${what} is an error that says so`, async (t) => {
    const known = {
      ...fieldsFor({ issuer: "http://x" } as OidcServer),
      redirectURL: "http://shop.example/",
      ...fields,
    };
    await assert.rejects(startMiddleware(t, oauth2Manifest, known), message);
  });
}
