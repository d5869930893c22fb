import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { AccessControlSpec } from "./access-control-spec.ts";
import { type Configuration, readConfigurations } from "./configuration.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-test-"));
after(() => {
  rmSync(folder, { recursive: true });
});

const HEAD = "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata:\n  name: config\nspec:\n  accessControl:\n";
const FILE = join(folder, "config-0.yaml");

/** Configurations with these sections, which begin on line 7. */
function read(...sections: readonly string[]): Configuration {
  const files = sections.map((_, at) => join(folder, `config-${at}.yaml`));
  sections.forEach((section, at) => {
    writeFileSync(files[at] ?? "", HEAD + section.replace(/^(?=.)/gm, "    "));
  });
  return readConfigurations(files);
}

function accessControl(...sections: readonly string[]): AccessControlSpec | undefined {
  return read(...sections).accessControl;
}

// Dapr's documentation, scenario 3 of "access control list configuration".
const SCENARIO = `defaultAction: deny
trustDomain: "public"
policies:
- appId: app1
  defaultAction: Deny
  trustDomain: 'public'
  namespace: "default"
  operations:
  - name: /op1
    httpVerb: ['POST', 'PUT']
    action: ALLOW
- appId: app2
  trustDomain: 'myDomain'
  namespace: "ns1"
  operations:
  - name: op2/*
    action: deny
`;

test("a list as Dapr's documentation has it", () => {
  const { accessControl, forGrpcAlone } = read(SCENARIO);
  assert.deepEqual(forGrpcAlone, []);
  assert.deepEqual(accessControl, {
    trustDomain: "public",
    defaultAction: "deny",
    policies: [
      {
        caller: "spiffe://public/ns/default/app1",
        defaultAction: "deny",
        operations: [{ name: "/op1", verbs: ["POST", "PUT"], action: "allow" }],
      },
      {
        caller: "spiffe://myDomain/ns/ns1/app2",
        defaultAction: undefined,
        operations: [{ name: "op2/*", verbs: [], action: "deny" }],
      },
    ],
  });
});

const POLICY = "- {appId: a, trustDomain: public, namespace: default}\n";

const DEFAULTS: [section: string, trustDomain: string, defaultAction: string][] = [
  ["defaultAction: allow\n", "public", "allow"],
  ["defaultAction: ALLOW\n", "public", "allow"],
  ["trustDomain: mine\ndefaultAction: allow\n", "mine", "allow"],
  // As daprd's ParseAccessControlSpec has it.
  ["trustDomain: mine\n", "mine", "deny"],
  ["trustDomain: mine\npolicies:\n", "mine", "deny"],
  ["trustDomain: mine\npolicies: []\n", "mine", "allow"],
  [`policies:\n${POLICY}`, "public", "deny"],
  [`trustDomain: ""\ndefaultAction: ""\npolicies:\n${POLICY}`, "public", "deny"],
];

for (const [section, trustDomain, defaultAction] of DEFAULTS) {
  test(`defaults of ${JSON.stringify(section)}`, () => {
    const spec = accessControl(section);
    assert.deepEqual([spec?.trustDomain, spec?.defaultAction], [trustDomain, defaultAction]);
  });
}

for (const section of ["", "{}\n", "policies: []\n", 'defaultAction: ""\n', "policies:\n"]) {
  test(`a section that says nothing is as good as none: ${JSON.stringify(section)}`, () => {
    assert.equal(accessControl(section), undefined);
  });
}

test("of several Configurations, the last list holds, whole", () => {
  const [open, mine] = ["defaultAction: allow\n", `trustDomain: mine\npolicies:\n${POLICY}`];
  assert.equal(accessControl(mine, open)?.trustDomain, "public");
  assert.deepEqual(accessControl(mine, open)?.policies, []);
  assert.equal(accessControl(open, mine)?.defaultAction, "deny");
});

test("a list is not lifted by a later section that says nothing", () => {
  assert.equal(accessControl("defaultAction: deny\n", "{}\n")?.defaultAction, "deny");
});

test("an allow without a verb is said to be for gRPC alone", () => {
  const operations = "operations: [{name: a, httpVerb: [GET], action: deny}, {name: b, action: allow}]";
  const { forGrpcAlone } = read(`policies: [{appId: a, trustDomain: public, namespace: default, ${operations}}]\n`);
  const what = "spec.accessControl.policies.0.operations.1 (allow without httpVerb)";
  assert.deepEqual(forGrpcAlone, [`${what} in ${FILE}`]);
});

function operationNamed(name: string): string {
  return `policies:
- appId: a
  trustDomain: public
  namespace: default
  operations:
  - httpVerb: [GET]
    name: ${JSON.stringify(name)}
    action: deny
`;
}

const MISSING = "invalid access control spec. missing trustdomain for apps: ";
const OPERATIONS = "spec.accessControl.policies.0.operations.0";
const HINT =
  '; give each policy an appId, a trustDomain ("public" where the caller\'s own Configuration names none) and a namespace';

const REFUSED: [what: string, section: string, message: string][] = [
  [
    "policies without what they must have, in daprd's words",
    `policies:\n${POLICY}- {appId: b, namespace: n}\n- {appId: c}\n- {trustDomain: "", namespace: n}\n`,
    `:9: spec.accessControl.policies.1: ${MISSING}[b c ], missing namespace for apps: [c], missing app name on at least one of the app policies: true${HINT}`,
  ],
  [
    "a policy without a namespace",
    "policies:\n- {appId: b, trustDomain: public}\n",
    `:8: spec.accessControl.policies.0: ${MISSING}[], missing namespace for apps: [b], missing app name on at least one of the app policies: false${HINT}`,
  ],
  ["an action that is none", "defaultAction: block\n", ":7: spec.accessControl.defaultAction: say allow or deny"],
  [
    "an action that is no text",
    "defaultAction: true\n",
    ":7: spec.accessControl.defaultAction: Invalid input: expected string, received boolean",
  ],
  [
    "an operation without an action",
    "policies:\n- appId: a\n  operations:\n  - name: x\n",
    `:10: ${OPERATIONS}.action: Invalid input: expected string, received undefined`,
  ],
  [
    "an operation with an empty action",
    'policies:\n- appId: a\n  operations:\n  - name: x\n    action: ""\n',
    `:11: ${OPERATIONS}.action: say allow or deny`,
  ],
  [
    "a verb in lower case, which daprd never matches",
    "policies:\n- operations:\n  - name: x\n    httpVerb:\n    - GET\n    - post\n    action: deny\n",
    `:12: ${OPERATIONS}.httpVerb.1: is not a verb; use GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH, or "*" for all`,
  ],
  [
    "a verb that is no list",
    "policies:\n- operations:\n  - name: x\n    httpVerb: POST\n    action: deny\n",
    `:10: ${OPERATIONS}.httpVerb: Invalid input: expected array, received string`,
  ],
  [
    "an unknown field of a policy",
    "policies:\n- appID: a\n",
    ':8: unknown field "spec.accessControl.policies.0.appID"; did you mean "appId"?',
  ],
  [
    "an unknown field of an operation",
    "policies:\n- operations:\n  - name: x\n    httpVerbs: []\n",
    `:10: unknown field "${OPERATIONS}.httpVerbs"; did you mean "httpVerb"?`,
  ],
  [
    "an unknown field of the list",
    "defaultActions: deny\n",
    ':7: unknown field "spec.accessControl.defaultActions"; did you mean "defaultAction"?',
  ],
  [
    "a trust domain that is a path",
    "trustDomain: a/ns/b\n",
    ':7: spec.accessControl.trustDomain: "a/ns/b" is not a valid trust domain: use letters, digits, dots, - and _',
  ],
  [
    "a trust domain of a policy that is a path",
    "policies:\n- appId: a\n  namespace: n\n  trustDomain: a/b\n",
    ':10: spec.accessControl.policies.0.trustDomain: "a/b" is not a valid trust domain: use letters, digits, dots, - and _',
  ],
  [
    "an id that no app can have",
    'policies:\n- trustDomain: public\n  namespace: n\n  appId: "*"\n',
    ':10: spec.accessControl.policies.0.appId: "*" is not a valid app id: use letters, digits, - and _, beginning and ending with a letter, a digit or _',
  ],
  [
    "a namespace that no app can have",
    "policies:\n- {trustDomain: public, namespace: n.m, appId: a}\n",
    ':8: spec.accessControl.policies.0.namespace: "n.m" is not a valid namespace: a dot separates id and namespace, so neither may contain one',
  ],
  [
    "two policies for one caller",
    `policies:\n${POLICY}${POLICY}`,
    ":9: spec.accessControl.policies.1: two policies are for spiffe://public/ns/default/a; put their operations into one",
  ],
  ...(
    [
      ["", 'it is empty; write "/" for the root, "/**" for every path'],
      ["/a?b=c", "a path has no query, fragment or control character; name the path alone"],
      ["/a#b", "a path has no query, fragment or control character; name the path alone"],
      ["/a\u0000", "a path has no query, fragment or control character; name the path alone"],
      ["/a%20b", "paths are compared decoded; write the characters themselves"],
      ["/a/../b", "paths are cleaned; leave out the dots"],
      ["./a", "paths are cleaned; leave out the dots"],
      ["/a/**/b", "** stands only at the end; use * for one segment"],
    ] as const
  ).map(([name, why]): [string, string, string] => [
    `an operation named ${JSON.stringify(name)}`,
    operationNamed(name),
    `:13: ${OPERATIONS}.name: the operation "${name}" would never match: ${why}`,
  ]),
];

for (const [what, section, message] of REFUSED) {
  test(`refused with file and line: ${what}`, () => {
    assert.throws(() => read(section), { name: "ResourceError", message: FILE + message });
  });
}

for (const name of ["/", "/*", "/**", "a", "/a.b/..c/...", "/100%", "/a b/é", "/a;b", "/a*b/*/**"]) {
  test(`a path may be named as ${JSON.stringify(name)}`, () => {
    assert.equal(accessControl(operationNamed(name))?.policies[0]?.operations[0]?.name, name);
  });
}
