import assert from "node:assert/strict";
import { test } from "node:test";
import { folderWith, ownHome, runToEnd, startBeside } from "../support/processes.ts";

/** Resources with a mistake: which of them stop the start, and what the user is told. */

const ENDPOINT = `apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata: {name: ext}
spec:
  baseUrl: http://127.0.0.1:1
`;

function component(type: string, fields = "[]", more = ""): string {
  return `apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: it}
spec:
  type: ${type}
  version: v1
${more}  metadata: ${fields}
`;
}

const SECRET_OF_NOBODY = `${ENDPOINT}  headers:
  - {name: X-Key, secretKeyRef: {name: key}}
`;

for (const [mistake, yaml, told] of [
  [
    "a field that there is not",
    ENDPOINT.replace("baseUrl", "baseURL"),
    /r\/a\.yaml:5: unknown field "spec\.baseURL"; did you mean "baseUrl"\?/,
  ],
  [
    "a slip in the kind",
    ENDPOINT.replace("HTTPEndpoint", "HttpEndpoints"),
    /r\/a\.yaml:2: kind: there is no kind "HttpEndpoints"; did you mean "HTTPEndpoint"\?/,
  ],
  [
    "a slip in the apiVersion",
    ENDPOINT.replace("dapr.io/v1alpha1", "dapr.io/v1alpha"),
    /r\/a\.yaml:1: apiVersion: .*"dapr\.io\/v1alpha1"/,
  ],
  [
    "a scheme that there is not",
    ENDPOINT.replace("http:", "ftp:"),
    /r\/a\.yaml:5: spec\.baseUrl: "ftp:\/\/127\.0\.0\.1:1" is no base URL/,
  ],
  ["what is no YAML", `${ENDPOINT}  headers: [\n`, /r\/a\.yaml:\d+: not valid YAML/],
  [
    "a middleware that there is not",
    component("middleware.http.ratelimits"),
    /Component it \(middleware\.http\.ratelimits\) in .*a\.yaml: there is no such middleware.*ratelimit/,
  ],
  [
    "what nearly is a middleware",
    component("midleware.http.ratelimit"),
    /r\/a\.yaml:5: spec\.type: there is no type "midleware\.http\.ratelimit"; did you mean "middleware\.http\.ratelimit"\?/,
  ],
  [
    "two of one name",
    `${ENDPOINT}---\n${ENDPOINT}`,
    /HTTPEndpoint ext is defined in .*a\.yaml and once more in .*a\.yaml; remove one/,
  ],
  [
    "a secret, and no store",
    SECRET_OF_NOBODY,
    /HTTPEndpoint ext in .*a\.yaml: header X-Key comes from a secret, and no secret store is loaded/,
  ],
  [
    "a secret that its store does not have",
    `${SECRET_OF_NOBODY}---\n${component("secretstores.local.env")}`,
    /HTTPEndpoint ext in .*a\.yaml: header X-Key: .*key/,
  ],
  [
    "a store whose file is not there",
    component("secretstores.local.file", "[{name: secretsFile, value: none.json}]"),
    /Component it \(secretstores\.local\.file\) in .*a\.yaml: .*none\.json/,
  ],
] as const) {
  test(`it does not start with ${mistake}`, async (t) => {
    const folder = folderWith(t, { "r/a.yaml": yaml });
    const { code, stderr } = await runToEnd(t, ["run", "--app-id", "a", "--resources-path", `${folder}/r`], {
      home: ownHome(t),
    });
    assert.equal(code, 1);
    assert.match(stderr, told);
    assert.doesNotMatch(stderr, /^\s+at /m);
  });
}

test("a folder that is not there stops the start, too", async (t) => {
  const args = ["run", "--app-id", "a", "--resources-path", "/none/such"];
  const { code, stderr } = await runToEnd(t, args, { home: ownHome(t) });
  assert.equal(code, 1);
  assert.match(stderr, /cannot read the resources path \/none\/such: ENOENT/);
});

test("it starts with components that say ignoreErrors and with a broken Resiliency, and tells of each", async (t) => {
  const ignored = "  ignoreErrors: true\n";
  const folder = folderWith(t, {
    "r/a.yaml": component("secretstores.local.file", "[{name: secretsFile, value: none.json}]", ignored),
    "r/b.yaml": component("middleware.http.ratelimits", "[]", ignored).replace("name: it", "name: b"),
    "r/c.yaml": component("secretstores.local.env", "[]", `${ignored}  initTimeOut: 1s\n`).replace(
      "name: it",
      "name: c",
    ),
    "r/d.yaml":
      "apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata: {name: r}\nspec:\n  policies:\n    circuitBreakers:\n      cb: {trip: consecutiveFailure > 5}\n",
    "r/e.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: theirs}\n",
    "r/f.yaml": ENDPOINT,
  });
  const { outrigger, api } = await startBeside(t, "a", undefined, {
    home: ownHome(t),
    flags: ["--resources-path", `${folder}/r`],
  });
  for (const told of [
    /Component it \(secretstores\.local\.file\) in .*a\.yaml: .*none\.json.*left out, as its ignoreErrors says/,
    /Component b \(middleware\.http\.ratelimits\) in .*b\.yaml: there is no such middleware.*as its ignoreErrors says/,
    /Component c in .*c\.yaml was left out, as its ignoreErrors says: .*c\.yaml:8: unknown field "spec\.initTimeOut"; did you mean "initTimeout"\?/,
    /Could not read resiliency policy r, which was skipped: .*d\.yaml:7: spec\.policies\.circuitBreakers\.cb\.trip: .*speaks of something else/,
  ]) {
    await outrigger.waitForOutput(told);
  }
  assert.doesNotMatch(outrigger.output, /theirs/);
  const { httpEndpoints } = (await (await fetch(`${api}/v1.0/metadata`)).json()) as { httpEndpoints: unknown };
  assert.deepEqual(httpEndpoints, [{ name: "ext" }]);
});
