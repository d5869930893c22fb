import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { headerValue, headerValues } from "../../core/raw-headers.ts";
import { CorsPolicy } from "./cors.ts";

const ORIGIN = "https://shop.example.com";

/** Which origin an answer to a GET from `origin` is for. */
function granted(allowed: readonly string[], origin: string | undefined, method = "GET"): string | undefined {
  return headerValue(new CorsPolicy(allowed).addTo([], method, origin), "access-control-allow-origin");
}

function preflight(allowed: readonly string[], ...headers: string[]): Record<string, string[]> | undefined {
  const answer = new CorsPolicy(allowed).preflightHeaders("OPTIONS", headers);
  if (answer === undefined) return undefined;
  const names = answer.filter((_, index) => index % 2 === 0);
  return Object.fromEntries(names.map((name) => [name, headerValues(answer, name.toLowerCase())]));
}

const VARY = { Vary: ["Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"] };

const ORIGINS: readonly [allowed: string, origin: string, isAllowed: boolean][] = [
  [ORIGIN, ORIGIN, true],
  [ORIGIN, "https://SHOP.example.com", true],
  ["HTTPS://Shop.Example.Com", ORIGIN, true],
  [ORIGIN, "http://shop.example.com", false],
  [ORIGIN, "https://shop.example.com:8443", false],
  [ORIGIN, "https://shop.example.com.evil.test", false],
  [ORIGIN, "null", false],
  ["null", "null", true],
  ["https://*.example.com", ORIGIN, true],
  ["https://*.example.com", "https://a.b.example.com", true],
  ["https://*.example.com", "https://example.com", false],
  ["https://*.example.com", "https://evil.test/.example.com.evil.test", false],
  ["https://*.example.com", "http://shop.example.com", false],
  ["http://localhost:*", "http://localhost:3000", true],
  ["http://localhost:*", "http://localhost", false],
  // What stands before and behind must not overlap.
  ["aba*aba", "ababa", false],
  ["aba*aba", "abaaba", true],
];

for (const [allowed, origin, isAllowed] of ORIGINS) {
  test(`${allowed} ${isAllowed ? "allows" : "does not allow"} ${origin}`, () => {
    assert.equal(granted([allowed, "https://other.test"], origin), isAllowed ? origin : undefined);
  });
}

test("* among others allows all, and is what is answered", () => {
  assert.equal(granted([ORIGIN, "*"], "https://any.test"), "*");
  assert.equal(granted(["*"], "null"), "*");
  assert.equal(granted(["*"], undefined), undefined);
});

test("an origin that is allowed is answered as it was sent, and no other is", () => {
  fc.assert(
    fc.property(fc.webAuthority(), fc.webAuthority(), (one, other) => {
      const [allowed, origin] = [`https://${one}`, `https://${other}`];
      assert.equal(granted([allowed], allowed.toUpperCase()), allowed.toUpperCase());
      const isSame = allowed.toLowerCase() === origin.toLowerCase();
      assert.equal(granted([allowed], origin), isSame ? origin : undefined);
    }),
  );
});

test("methods that browsers may not send are granted nothing", () => {
  for (const method of ["HEAD", "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    assert.equal(granted(["*"], ORIGIN, method), "*");
  for (const method of ["TRACE", "PROPFIND"]) assert.equal(granted(["*"], ORIGIN, method), undefined);
});

test("every answer says that it depends on the origin, once", () => {
  const policy = new CorsPolicy([ORIGIN]);
  assert.deepEqual(policy.addTo(["X", "1"], "GET", undefined), ["X", "1", "Vary", "Origin"]);
  const varying: readonly [app: string, all: string[]][] = [
    ["Accept-Encoding", ["Accept-Encoding", "Origin"]],
    ["Accept-Encoding, origin", ["Accept-Encoding, origin"]],
    ["*", ["*"]],
  ];
  for (const [app, all] of varying) {
    assert.deepEqual(headerValues(policy.addTo(["vary", app], "GET", ORIGIN), "vary"), all);
  }
});

test("an app that has decided for itself is not contradicted", () => {
  const own = ["access-control-allow-origin", "https://own.test", "Access-Control-Allow-Credentials", "true"];
  for (const allowed of ["*", ORIGIN]) {
    assert.deepEqual(new CorsPolicy([allowed]).addTo(own, "GET", ORIGIN), [...own, "Vary", "Origin"]);
  }
});

test("credentials are not allowed to an origin that the app has not named", () => {
  const always = ["X", "1", "access-control-allow-credentials", "true"];
  const policy = new CorsPolicy([ORIGIN]);
  const kept = ["X", "1", "Vary", "Origin"];
  assert.deepEqual(policy.addTo(always, "GET", ORIGIN), [...kept, "Access-Control-Allow-Origin", ORIGIN]);
  // Without an origin it grants nothing, and is the app's.
  for (const origin of [undefined, "https://evil.test"]) {
    assert.deepEqual(policy.addTo(always, "GET", origin), [...always, "Vary", "Origin"]);
  }
});

test("what is given is not changed", () => {
  const answered: readonly string[] = Object.freeze(["X", "1"]);
  new CorsPolicy(["*"]).addTo(answered, "GET", ORIGIN);
  assert.deepEqual(answered, ["X", "1"]);
});

test("a preflight is told what it asked for", () => {
  const asks = ["Origin", ORIGIN, "Access-Control-Request-Method", "put"];
  assert.deepEqual(preflight([ORIGIN], ...asks), {
    ...VARY,
    "Access-Control-Allow-Origin": [ORIGIN],
    "Access-Control-Allow-Methods": ["PUT"],
  });
  const names = "content-type,x-REQUEST-id , dapr-api-token,x_y,b(a)d,,";
  assert.deepEqual(preflight(["*"], ...asks, "access-control-request-headers", names), {
    ...VARY,
    "Access-Control-Allow-Origin": ["*"],
    "Access-Control-Allow-Methods": ["PUT"],
    "Access-Control-Allow-Headers": ["Content-Type, X-Request-Id, Dapr-Api-Token, X_y, Bad"],
  });
});

test("a preflight that is not allowed is told nothing", () => {
  assert.deepEqual(preflight([ORIGIN], "Origin", "https://evil.test", "Access-Control-Request-Method", "GET"), VARY);
  assert.deepEqual(preflight(["*"], "Origin", ORIGIN, "Access-Control-Request-Method", "PROPFIND"), VARY);
  assert.deepEqual(preflight([ORIGIN], "Origin", "", "Access-Control-Request-Method", "GET"), VARY);
});

test("an OPTIONS that is no preflight is none", () => {
  assert.equal(preflight(["*"]), undefined);
  assert.equal(preflight(["*"], "Origin", ORIGIN), undefined);
  assert.equal(preflight(["*"], "Origin", ORIGIN, "Access-Control-Request-Method", ""), undefined);
  assert.equal(preflight(["*"], "Access-Control-Request-Method", "GET"), undefined);
  const asks = ["Origin", ORIGIN, "Access-Control-Request-Method", "GET"];
  assert.equal(new CorsPolicy(["*"]).preflightHeaders("GET", asks), undefined);
});
