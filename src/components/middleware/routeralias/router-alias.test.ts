import assert from "node:assert/strict";
import { test } from "node:test";
import { metadataWith } from "../../../../test/support/component-metadata.ts";
import { anAnswer, aRequest, testMiddlewareContract } from "../../../../test/support/middleware-contract.ts";
import { RouterAlias } from "./router-alias.ts";

const DOCUMENTED = JSON.stringify({
  "/v1.0/mall/activity/info": "/v1.0/invoke/srv.default/method/mall/activity/info",
  "/v1.0/hello/activity/{id}/info": "/v1.0/invoke/srv.default/method/hello/activity/info",
  "/v1.0/hello/activity/{id}/user": "/v1.0/invoke/srv.default/method/hello/activity/user",
});

testMiddlewareContract("routeralias", {
  create: () => new RouterAlias(),
  fields: { routes: DOCUMENTED },
  slip: { written: "rotues", meant: "routes" },
  unusable: { routes: "[]" },
});

/** Where a request ends up: path and query. */
async function placeOf(fields: Readonly<Record<string, string>>, target: string): Promise<string> {
  const middleware = new RouterAlias();
  await middleware.init(await metadataWith(fields));
  const [path = "", query] = target.split("?");
  const answer = await middleware.handle(aRequest({ path, query }), (request) => {
    const rest = request.query === undefined ? "" : `?${request.query}`;
    return Promise.resolve(anAnswer({ statusText: request.path + rest }));
  });
  return answer.statusText;
}

const CASES: readonly (readonly [routes: string, target: string, place: string])[] = [
  // The cases of contrib's own test.
  [DOCUMENTED, "/v1.0/mall/activity/info?id=123", "/v1.0/invoke/srv.default/method/mall/activity/info?id=123"],
  [DOCUMENTED, "/v1.0/hello/activity/1/info", "/v1.0/invoke/srv.default/method/hello/activity/info?id=1"],
  [
    DOCUMENTED,
    "/v1.0/hello/activity/1/user?userid=123",
    "/v1.0/invoke/srv.default/method/hello/activity/user?id=1&userid=123",
  ],
  [DOCUMENTED, "/v1.0/invoke/srv.default", "/v1.0/invoke/srv.default"],
  // A parameter is what is between two slashes, and is there.
  [DOCUMENTED, "/v1.0/hello/activity//info", "/v1.0/hello/activity//info"],
  [DOCUMENTED, "/v1.0/hello/activity/1/2/info", "/v1.0/hello/activity/1/2/info"],
  [DOCUMENTED, "/v1.0/mall/activity/info/", "/v1.0/mall/activity/info/"],
  // Paths are compared decoded, and a parameter is encoded anew.
  [DOCUMENTED, "/v1.0/hello/activity/a%20b%26c/info", "/v1.0/invoke/srv.default/method/hello/activity/info?id=a+b%26c"],
  [DOCUMENTED, "/v1.0/mall/%61ctivity/info", "/v1.0/invoke/srv.default/method/mall/activity/info"],
  [DOCUMENTED, "/v1.0/mall/%zz", "/v1.0/mall/%zz"],
  // Plain text is no expression.
  ['{"/a.b": "/x"}', "/axb", "/axb"],
  // Expressions of one's own, several segments among them.
  ['{"/a/{n:[0-9]{2}}": "/x"}', "/a/12", "/x?n=12"],
  ['{"/a/{n:[0-9]{2}}": "/x"}', "/a/123", "/a/123"],
  ['{"/files/{rest:.*}": "/x"}', "/files/a/b", "/x?rest=a%2Fb"],
  // YAML, the first that matches, a query of the target's own.
  ["/a: /x\n/{any}: /y?z=1\n", "/a", "/x"],
  ["/a: /x\n/{any}: /y?z=1\n", "/b?q=2", "/y?any=b&q=2&z=1"],
  ["/a: /grün", "/a", "/gr%C3%BCn"],
];

for (const [routes, target, place] of CASES) {
  test(`${target} becomes ${place}`, async () => {
    assert.equal(await placeOf({ routes }, target), place);
  });
}

test("paths may be fields of their own, as they were before `routes`", async () => {
  assert.equal(await placeOf({ "/a/{id}": "/x", "/b": "/y" }, "/a/1"), "/x?id=1");
});

const REFUSED: readonly (readonly [routes: string, why: RegExp])[] = [
  ["", /routes is missing/],
  ["{", /component\.yaml:\d+: routes is neither JSON nor YAML/],
  ["[]", /routes is no dictionary/],
  ['{"/a": 1}', /"\/a" stands for no path/],
  ['{"a": "/x"}', /the path "a" does not begin with \//],
  ['{"/a": "x"}', /"\/a" stands for "x", which does not begin with \//],
  ['{"/{a": "/x"}', /the braces of the path "\/{a" do not match/],
  ['{"/{a}/{a}": "/x"}', /has two parameters a/],
  ['{"/{}": "/x"}', /a parameter without a name/],
  ['{"/{a:(}": "/x"}', /component\.yaml:\d+: Invalid regular expression/],
];

for (const [routes, why] of REFUSED) {
  test(`routes ${JSON.stringify(routes)} are refused`, async () => {
    await assert.rejects(placeOf({ routes }, "/"), why);
  });
}
