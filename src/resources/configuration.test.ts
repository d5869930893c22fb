import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { makeAuthority } from "../../test/support/certificates.ts";
import { type Configuration, readConfigurations } from "./configuration.ts";
import { DEFAULT_CONFIGURATION } from "./default-configuration.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-test-"));
after(() => {
  rmSync(folder, { recursive: true });
});

const HEAD = "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata:\n  name: config\n";

/** Files of these texts, each a Configuration from its `spec` on. */
function read(...specs: readonly string[]): Configuration {
  return readConfigurations(
    specs.map((spec, at) => {
      const file = fileOf(at);
      writeFileSync(file, HEAD + spec);
      return file;
    }),
  );
}

function fileOf(at: number): string {
  return join(folder, `config-${at}.yaml`);
}

test("without a Configuration, paths are cleaned and nothing is without effect", () => {
  assert.deepEqual(readConfigurations([]), DEFAULT_CONFIGURATION);
});

test("a Configuration without a spec changes nothing", () => {
  assert.deepEqual(read(""), DEFAULT_CONFIGURATION);
});

test("a spec or a section without a value is as good as none", () => {
  assert.deepEqual(read("spec:\n"), DEFAULT_CONFIGURATION);
  const sections = "spec:\n  invocation:\n  tracing:\n  accessControl: ~\n  mtls: null\n";
  assert.deepEqual(read(sections), DEFAULT_CONFIGURATION);
  const kept = read("spec: { invocation: { preservePath: true } }\n", "spec: { invocation: { preservePath: } }\n");
  assert.equal(kept.preservePath, true);
});

test("paths can be preserved", () => {
  assert.equal(read("spec: { invocation: { preservePath: true } }\n").preservePath, true);
});

test("of several Configurations, the last one that says something holds", () => {
  const on = "spec: { invocation: { preservePath: true } }\n";
  const off = "spec: { invocation: { preservePath: false } }\n";
  assert.equal(read(on, "spec: {}\n").preservePath, true);
  assert.equal(read(on, off).preservePath, false);
  assert.equal(read(off, on, "spec: { invocation: {} }\n").preservePath, true);
});

test("grpcErrorStatus of the last Configuration that says it holds", () => {
  const mapped = "spec: { invocation: { grpcErrorStatus: mapped } }\n";
  assert.equal(read(mapped, "spec: { invocation: {} }\n").grpcErrorStatus, "mapped");
  assert.equal(read(mapped, "spec: { invocation: { grpcErrorStatus: fixed } }\n").grpcErrorStatus, "fixed");
});

test("several Configurations may stand in one file", () => {
  const { preservePath, withoutEffect } = read(
    `spec: { wasm: {} }\n---\n${HEAD}spec: { invocation: { preservePath: true } }\n`,
  );
  assert.deepEqual([preservePath, withoutEffect], [true, [`spec.wasm in ${fileOf(0)}`]]);
});

test("name resolution is read as it is written, for the component to judge, with the way back to its lines", () => {
  const { nameResolution, withoutEffect } = read(
    "spec:\n  nameResolution:\n    component: static\n    version: v1\n    configuration:\n      math:\n        - h:1\n",
  );
  assert.ok(nameResolution);
  const { component, version, configuration } = nameResolution;
  assert.deepEqual([component, version, configuration.value], ["static", "v1", { math: ["h:1"] }]);
  assert.deepEqual(
    [configuration.file, configuration.path.join(".")],
    [fileOf(0), "spec.nameResolution.configuration"],
  );
  assert.deepEqual(
    [configuration.lineOf([]), configuration.lineOf(["math"]), configuration.lineOf(["math", 0])],
    [9, 10, 11],
  );
  assert.deepEqual(
    [nameResolution.placeOf("component"), nameResolution.placeOf("version")],
    [`${fileOf(0)}:7`, `${fileOf(0)}:8`],
  );
  assert.deepEqual(withoutEffect, []);
});

test("of several Configurations, the last one with name resolution says all of it", () => {
  const mdns = "spec: { nameResolution: { component: mdns, version: v1 } }\n";
  const table = "spec: { nameResolution: { component: static, configuration: { a: 'h:1' } } }\n";
  assert.equal(read(mdns, "spec: {}\n").nameResolution?.component, "mdns");
  const { nameResolution } = read(table, mdns);
  assert.deepEqual([nameResolution?.component, nameResolution?.configuration.value], ["mdns", undefined]);
  assert.equal(read(mdns, table).nameResolution?.version, undefined);
});

test("name resolution without a value is as good as none, and may leave out its parts", () => {
  assert.equal(read("spec: { nameResolution: }\n").nameResolution, undefined);
  const { nameResolution } = read("spec:\n  nameResolution:\n    component:\n    configuration:\n");
  assert.deepEqual([nameResolution?.component, nameResolution?.configuration.value], [undefined, undefined]);
});

test("sections that do nothing yet are told with their files", () => {
  const { withoutEffect } = read(
    "spec:\n  wasm: { strictSandbox: true }\n  secrets: { scopes: [] }\n",
    "spec: { features: [{ name: ActorStateTTL, enabled: true }, { name: HotReloads, enabled: false }] }\n",
  );
  assert.deepEqual([...withoutEffect].sort(), [
    `spec.secrets in ${fileOf(0)}`,
    `spec.wasm in ${fileOf(0)}`,
    `the feature ActorStateTTL in ${fileOf(1)}`,
    `the feature HotReloads (did you mean HotReload?) in ${fileOf(1)}`,
  ]);
});

test("resources are read again as they change, unless the feature HotReload is switched off", () => {
  const features = (enabled: boolean): string => `spec: { features: [{ name: HotReload, enabled: ${enabled} }] }\n`;
  assert.equal(read("spec: {}\n").hotReload, true);
  assert.equal(read(features(false)).hotReload, false);
  assert.equal(read(features(false), "spec: {}\n").hotReload, false);
  assert.equal(read(features(false), features(true)).hotReload, true);
});

for (const section of ["api"]) {
  test(`spec.${section} stops the start: without it, calls would pass that it forbids`, () => {
    assert.throws(() => read(`spec:\n  tracing: {}\n  ${section}:\n    defaultAction: deny\n`), {
      name: "ResourceError",
      message: `${fileOf(0)}:7: spec.${section} is not supported by this version of Outrigger, and ignoring it would let calls through that it forbids; remove it to start without`,
    });
  });

  test(`spec.${section} stops the start in whichever Configuration it stands`, () => {
    assert.throws(() => read("spec: {}\n", `spec: { ${section}: {} }\n`), {
      name: "ResourceError",
      message: new RegExp(`config-1\\.yaml:5: spec\\.${section} is not supported`),
    });
  });
}

test("mTLS that is switched on stops the start", () => {
  assert.throws(() => read("spec:\n  mtls:\n    enabled: true\n"), {
    name: "ResourceError",
    message: `${fileOf(0)}:6: spec.mtls.enabled is not supported by this version of Outrigger; set it to false to start without`,
  });
});

test("mTLS that is switched off is only told of", () => {
  assert.deepEqual(read("spec: { mtls: { enabled: false } }\n").withoutEffect, [`spec.mtls in ${fileOf(0)}`]);
});

const REFUSED: [what: string, spec: string, message: string][] = [
  [
    "an unknown section",
    "spec:\n  accesControl: {}\n",
    ':6: unknown field "spec.accesControl"; did you mean "accessControl"?',
  ],
  [
    "an unknown field of ours",
    "spec:\n  invocation:\n    preservePaths: true\n",
    ':7: unknown field "spec.invocation.preservePaths"; did you mean "preservePath"?',
  ],
  [
    "an unknown field of name resolution",
    "spec:\n  nameResolution:\n    componentt: mdns\n",
    ':7: unknown field "spec.nameResolution.componentt"; did you mean "component"?',
  ],
  [
    "a component that is no word",
    "spec:\n  nameResolution:\n    component: 5\n",
    ":7: spec.nameResolution.component: Invalid input: expected string, received number",
  ],
  [
    "a word that is no boolean",
    "spec:\n  invocation:\n    preservePath: yes\n",
    ":7: spec.invocation.preservePath: Invalid input: expected boolean, received string",
  ],
];

for (const [what, spec, message] of REFUSED) {
  test(`refused with file and line: ${what}`, () => {
    assert.throws(() => read(spec), { name: "ResourceError", message: fileOf(0) + message });
  });
}

test("another kind of resource is refused", () => {
  const file = join(folder, "component.yaml");
  writeFileSync(file, "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: { name: x }\n");
  assert.throws(() => readConfigurations([file]), {
    name: "ResourceError",
    message: `${file}:2: kind: Invalid input: expected "Configuration"`,
  });
});

test("a file that is not there is named", () => {
  assert.throws(() => readConfigurations(["/nowhere/config.yaml"]), {
    name: "ResourceError",
    message: /^cannot read \/nowhere\/config\.yaml/,
  });
});

const authority = makeAuthority({ after });
const CA = readFileSync(authority.caFile, "utf8");

test("whose certificate an app must show: a file of PEM, found from the Configuration's own place", () => {
  writeFileSync(join(folder, "ca.pem"), `some words\n${CA}${CA}`);
  const inside = read("spec:\n  invocation:\n    appTLS:\n      caFile: ca.pem\n      serverName: app.test\n");
  assert.deepEqual(inside.appTls, { ca: `some words\n${CA}${CA}`, serverName: "app.test" });
  const absolute = read(`spec: { invocation: { appTLS: { caFile: "${authority.caFile}" } } }\n`, "spec: {}\n");
  assert.deepEqual(absolute.appTls, { ca: CA, serverName: undefined });
});

for (const [what, content, says] of [
  ["is not there", undefined, /cannot be read \(ENOENT\); name a file of PEM certificates$/],
  ["has no certificate", "no PEM\n", /has no PEM certificate in it$/],
  [
    "has a broken one",
    CA.replace(/\n[A-Za-z0-9+/]{20}/, "\nAAAAAAAAAAAAAAAAAAAA"),
    /certificate 1 of it cannot be read$/,
  ],
] as const) {
  test(`a caFile that ${what} stops the start`, () => {
    if (content !== undefined) writeFileSync(join(folder, "bad.pem"), content);
    const caFile = content === undefined ? "missing.pem" : "bad.pem";
    assert.throws(
      () => read(`spec:\n  invocation:\n    appTLS:\n      caFile: ${caFile}\n`),
      (error: Error) => {
        assert.equal(error.name, "ResourceError");
        assert.match(error.message, says);
        assert.match(error.message, /config-0\.yaml:8: spec\.invocation\.appTLS\.caFile: /);
        return true;
      },
    );
  });
}
