import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAppId, parseNamespace } from "../core/app-id.ts";
import { type SpiffeId, spiffeIdOf } from "../core/spiffe-id.ts";
import type { AccessAction, AccessControlSpec, AccessOperationSpec } from "../resources/access-control-spec.ts";
import { AccessControl } from "./access-control.ts";

function spiffeId(trustDomain: string, namespace: string, id: string): SpiffeId {
  return spiffeIdOf(trustDomain, { id: parseAppId(id), namespace: parseNamespace(namespace) });
}

const shop = spiffeId("public", "prod", "shop");

function operation(action: AccessAction, name: string, ...verbs: string[]): AccessOperationSpec {
  return { name, verbs, action };
}

/** What a list with one policy, for the shop, says of the shop's call. */
function allows(
  operations: readonly AccessOperationSpec[],
  path: string,
  verb = "GET",
  defaultAction: AccessAction = "deny",
): boolean {
  const policies = [{ caller: shop, defaultAction, operations }];
  // The list's own default is the other one: it is not to be asked.
  const other = defaultAction === "deny" ? "allow" : "deny";
  return new AccessControl({ trustDomain: "public", defaultAction: other, policies }).allows(shop, path, verb);
}

const TWO_SHOPS: AccessControlSpec = {
  trustDomain: "public",
  defaultAction: "deny",
  policies: [
    { caller: shop, defaultAction: "allow", operations: [operation("deny", "/admin", "*")] },
    {
      caller: spiffeId("public", "test", "shop"),
      defaultAction: "deny",
      operations: [operation("allow", "/ping", "*")],
    },
    {
      caller: spiffeId("other", "prod", "shop"),
      defaultAction: undefined,
      operations: [operation("allow", "/x", "*")],
    },
  ],
};

const CALLERS: [who: string, caller: SpiffeId | undefined, path: string, allowed: boolean][] = [
  ["a policy is for one trust domain, namespace and id", shop, "/ping2", true],
  ["the same, what its operation denies", shop, "/admin", false],
  ["one of the same id in another namespace has its own", spiffeId("public", "test", "shop"), "/ping", true],
  ["the same, its default", spiffeId("public", "test", "shop"), "/ping2", false],
  ["one of another trust domain has its own", spiffeId("other", "prod", "shop"), "/x", true],
  ["where a policy has no default, the list's holds", spiffeId("other", "prod", "shop"), "/y", false],
  ["a namespace that no policy names", spiffeId("public", "stage", "shop"), "/ping2", false],
  ["a trust domain that no policy names", spiffeId("third", "prod", "shop"), "/ping2", false],
  ["an app that no policy names", spiffeId("public", "prod", "till"), "/ping2", false],
  ["an id is compared with case", spiffeId("public", "prod", "Shop"), "/ping2", false],
  ["nobody", undefined, "/ping2", false],
];

for (const [who, caller, path, allowed] of CALLERS) {
  test(`${who}: ${caller ?? "no identity"} ${path}`, () => {
    assert.equal(new AccessControl(TWO_SHOPS).allows(caller, path, "GET"), allowed);
  });
}

test("a list that allows by default lets nobody in particular, and strangers, call", () => {
  const access = new AccessControl({ ...TWO_SHOPS, defaultAction: "allow" });
  assert.equal(access.allows(undefined, "/admin", "GET"), true);
  assert.equal(access.allows(spiffeId("public", "prod", "till"), "/admin", "GET"), true);
  assert.equal(access.allows(shop, "/admin", "GET"), false);
});

const MATCHES: [pattern: string, path: string, matches: boolean][] = [
  ["/", "/", true],
  ["/", "/a", false],
  ["/op1", "/op1", true],
  ["op1", "/op1", true],
  ["/op1/", "/op1", true],
  ["//op1", "/op1", true],
  ["/op1", "/op2", false],
  ["/op1", "/op11", false],
  ["/op1", "/x/op1", false],
  ["/op1", "/", false],
  ["/op1", "/op1/x", false],
  ["/Op1", "/oP1", true],
  ["/a/b/c", "/a/b/c", true],
  ["/a/b/c", "/a/b", false],
  // daprd's own tests (pkg/acl/acl_test.go): `*` at the end is one segment or none.
  ["/op3/a/*", "/op3/a", true],
  ["/op3/a/*", "/op3/a/b", true],
  ["/op3/a/*", "/op3/a/b/c", false],
  ["/op3/a/*", "/op3/b/b", false],
  ["/op7/a/b*", "/op7/a/bc", true],
  ["/op7/a/b*", "/op7/a/b", true],
  ["/op7/a/b*", "/op7/a/b/c/d", false],
  ["/op7/c/**", "/op7/c/d/e", true],
  ["/op7/c/**", "/op7/c", true],
  ["/op7/c/**", "/op7/d", false],
  ["/**", "/", true],
  ["/**", "/a/b/c/d", true],
  ["/*", "/", true],
  ["/*", "/a", true],
  ["/*", "/a/b", false],
  ["*", "/a", true],
  ["/a/*/b", "/a/x/b", true],
  ["/a/*/b", "/a/b", false],
  ["/a/*/b", "/a/x/y/b", false],
  ["/a/*/b", "/a/x/c", false],
  ["/a/*/b/*", "/a/x/b/y", true],
  ["/*c", "/abc", true],
  ["/*c", "/abcd", false],
  ["/a*d", "/abcd", true],
  ["/a*d", "/ad", true],
  ["/a*d", "/abcde", false],
  ["/a*b*c", "/a1b2b3c", true],
  ["/a*b*c", "/a1c2b", false],
  ["/a*aab", "/aaaab", true],
  ["/a.b", "/axb", false],
  ["/a+", "/aa", false],
  ["/café", "/cafe\u0301", true],
  ["/CAFÉ", "/café", true],
  ["/strasse", "/Straße", false],
  ["/straße", "/strasse", false],
  ["/straße", "/STRAßE", true],
  ["/straße/**", "/Straße/1/2", true],
  ["/straße/**", "/straße", true],
  ["/straße/**", "/strasse/1", false],
  ["/*/maße*", "/pub/maße-1", true],
  ["/*/maße*", "/pub/masse-1", false],
  ["/maße/*", "/maße", true],
  ["/maße/*", "/masse", false],
  ["/ΟΔΟΣ", "/οδος", true],
  ["/admin", "/ſet", false],
  ["/set", "/ſet", false],
  ["/ſet", "/set", false],
  ["/ſet", "/ſet", true],
  ["/kelvin", "/\u212Aelvin", true],
];

for (const [pattern, path, matches] of MATCHES) {
  test(`${pattern} ${matches ? "names" : "does not name"} ${path}`, () => {
    assert.equal(allows([operation("allow", pattern, "*")], path), matches);
  });
}

test("a hostile path is matched against many stars in no time to speak of", () => {
  const pattern = `/${"a*".repeat(500)}b`;
  assert.equal(allows([operation("allow", pattern, "*")], `/${"a".repeat(8000)}`), false);
});

const allowEverything = operation("allow", "/**", "*");

const SPECIFIC: [what: string, operations: AccessOperationSpec[], path: string, verb: string, allowed: boolean][] = [
  ["a written path before **", [allowEverything, operation("deny", "/a/b", "*")], "/a/b", "GET", false],
  ["in whichever order", [operation("deny", "/a/b", "*"), allowEverything], "/a/b", "GET", false],
  [
    "** where the written path ends elsewhere",
    [operation("deny", "/a/b/c", "*"), allowEverything],
    "/a/b/d",
    "GET",
    true,
  ],
  [
    "a written segment before a glob",
    [operation("deny", "/a*", "*"), operation("allow", "/ab", "*")],
    "/ab",
    "GET",
    true,
  ],
  ["a glob before *", [operation("deny", "/*", "*"), operation("allow", "/a*", "*")], "/ab", "GET", true],
  ["* before **", [operation("deny", "/**", "*"), operation("allow", "/*", "*")], "/ab", "GET", true],
  [
    "the glob with more written out",
    [operation("deny", "/a*", "*"), operation("allow", "/ab*", "*")],
    "/abc",
    "GET",
    true,
  ],
  [
    "of equal globs the one that denies",
    [operation("allow", "/a*", "*"), operation("deny", "/*c", "*")],
    "/abc",
    "GET",
    false,
  ],
  [
    "the same, in the other order",
    [operation("deny", "/*c", "*"), operation("allow", "/a*", "*")],
    "/abc",
    "GET",
    false,
  ],
  ["the left decides first", [operation("deny", "/a/*", "*"), operation("allow", "/*/b", "*")], "/a/b", "GET", false],
  [
    "what ends above, where nothing goes on",
    [operation("allow", "/*/c", "*"), operation("deny", "/a/b", "*")],
    "/a/c",
    "GET",
    true,
  ],
  ["a verb before *", [operation("allow", "/a", "*"), operation("deny", "/a", "POST")], "/a", "POST", false],
  ["the same, of the other verbs", [operation("allow", "/a", "*"), operation("deny", "/a", "POST")], "/a", "PUT", true],
  [
    "deny, of the same path and verb",
    [operation("deny", "/a", "GET"), operation("allow", "/a", "GET")],
    "/a",
    "GET",
    false,
  ],
  [
    "the same, in the other order",
    [operation("allow", "/a", "GET"), operation("deny", "/a", "GET")],
    "/a",
    "GET",
    false,
  ],
  [
    "the same path in another case",
    [operation("deny", "/A", "GET"), operation("allow", "/a", "GET")],
    "/a",
    "GET",
    false,
  ],
  [
    "verbs of one path in two operations add up",
    [operation("allow", "/a", "GET"), operation("allow", "/a", "PUT")],
    "/a",
    "PUT",
    true,
  ],
  [
    "a less specific path that names the verb",
    [operation("deny", "/**", "*"), operation("allow", "/a", "GET")],
    "/a",
    "POST",
    false,
  ],
  ["the same, allowed", [operation("deny", "/a", "POST"), allowEverything], "/a", "GET", true],
];

for (const [what, operations, path, verb, allowed] of SPECIFIC) {
  test(`what decides: ${what}`, () => {
    assert.equal(allows(operations, path, verb), allowed);
  });
}

const BENEATH: [denied: string, path: string, allowed: boolean][] = [
  ["/admin", "/admin/users/1", false],
  ["/admin", "/adminx", true],
  ["/adm*", "/admin/users", false],
  ["/op1/*", "/op1/a/b", false],
  ["/a/*/b", "/a/x/b/c", false],
  ["/", "/a", true],
];

const DENIED_WIDELY: [denied: string, path: string][] = [
  ["/strasse", "/Straße"],
  ["/Straße", "/STRASSE/1"],
  ["/set", "/ſet"],
  ["/ſet", "/SET"],
  ["/ΟΔΟΣ", "/οδοσ"],
  ["/maß*/**", "/masse/1"],
];

for (const [denied, path] of DENIED_WIDELY) {
  test(`a deny of ${denied} holds for ${path}, which some apps take for the same`, () => {
    assert.equal(allows([operation("deny", denied, "*")], path, "GET", "allow"), false);
  });
}

test("an allow opens no other way to write its path, whatever is denied about it", () => {
  const operations = [operation("deny", "/straße/**", "*"), operation("allow", "/strasse/open", "GET")];
  assert.equal(allows(operations, "/strasse/open", "GET", "allow"), true);
  assert.equal(allows(operations, "/ſtraße/open", "GET", "allow"), false);
  assert.equal(allows(operations, "/straße/open", "GET", "allow"), false);
});

test("allows that differ in such letters alone stand side by side", () => {
  const operations = [operation("allow", "/maße", "GET"), operation("allow", "/masse", "GET")];
  assert.equal(allows(operations, "/maße"), true);
  assert.equal(allows(operations, "/masse"), true);
  assert.equal(allows(operations, "/maſſe"), false);
});

for (const [denied, path, allowed] of BENEATH) {
  test(`a deny of ${denied} ${allowed ? "leaves" : "holds for"} ${path}`, () => {
    assert.equal(allows([operation("deny", denied, "*")], path, "GET", "allow"), allowed);
  });
}

test("beneath what is denied, a more specific operation allows", () => {
  const operations = [operation("deny", "/admin", "*"), operation("allow", "/admin/health", "GET")];
  assert.equal(allows(operations, "/admin/health", "GET", "allow"), true);
  assert.equal(allows(operations, "/admin/health", "POST", "allow"), false);
  assert.equal(allows(operations, "/admin/health/x", "GET", "allow"), false);
});

test("beneath what is allowed, the default holds", () => {
  assert.equal(allows([operation("allow", "/orders", "*")], "/orders/1"), false);
});

test("an operation holds for the verbs it names", () => {
  const operations = [operation("allow", "/op1", "POST", "GET")];
  for (const [verb, allowed] of Object.entries({ POST: true, GET: true, PUT: false, HEAD: false, DELETE: false })) {
    assert.equal(allows(operations, "/op1", verb), allowed, verb);
  }
});

test("an operation without verbs is for gRPC: over HTTP it opens nothing, and what it shuts is shut", () => {
  assert.equal(allows([operation("allow", "/op1")], "/op1"), false);
  assert.equal(allows([operation("deny", "/op1")], "/op1", "GET", "allow"), false);
  // It does not stand in the way of one that is for HTTP either.
  assert.equal(allows([operation("allow", "/op1"), allowEverything], "/op1"), true);
});

test("a policy without operations is its default action", () => {
  assert.equal(allows([], "/x", "GET", "allow"), true);
  assert.equal(allows([], "/x", "GET", "deny"), false);
});

/** The same of a method of gRPC. */
function allowsGrpc(
  operations: readonly AccessOperationSpec[],
  path: string,
  defaultAction: AccessAction = "deny",
): boolean {
  const policies = [{ caller: shop, defaultAction, operations }];
  const other = defaultAction === "deny" ? "allow" : "deny";
  return new AccessControl({ trustDomain: "public", defaultAction: other, policies }).allowsGrpc(shop, path);
}

test("gRPC: an operation counts whatever its verbs are", () => {
  for (const verbs of [[], ["*"], ["GET"], ["POST", "PUT"]]) {
    assert.equal(allowsGrpc([operation("allow", "/pkg.Items/Get", ...verbs)], "/pkg.Items/Get"), true);
    assert.equal(allowsGrpc([operation("deny", "/pkg.Items/Get", ...verbs)], "/pkg.Items/Get", "allow"), false);
  }
  const both = [operation("allow", "/pkg.Items/Get", "POST"), operation("deny", "/pkg.Items/Get", "GET")];
  assert.equal(allowsGrpc(both, "/pkg.Items/Get"), false);
});

test("gRPC: an allow is compared with case, a deny without", () => {
  const allow = [operation("allow", "/pkg.Items/Get")];
  for (const path of ["/pkg.Items/get", "/PKG.Items/Get", "/pkg.items/get"]) {
    assert.equal(allowsGrpc(allow, path), false, path);
    assert.equal(allowsGrpc([operation("deny", "/pkg.Items/Get")], path, "allow"), false, path);
  }
  assert.equal(allowsGrpc([operation("allow", "/pkg.items/get")], "/pkg.items/get"), true);
  assert.equal(allowsGrpc([operation("allow", "/pkg.Items/*")], "/pkg.Items/Get"), true);
  assert.equal(allowsGrpc([operation("allow", "/pkg.Items/*")], "/pkg.items/Get"), false);
  assert.equal(allowsGrpc([operation("deny", "/pkg.Items")], "/pkg.Items/Get", "allow"), false);
  assert.equal(allowsGrpc(allow, "/pkg.Other/Get"), false);
});
