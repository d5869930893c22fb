import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { HostedCommand } from "../runtime/hosted-app.ts";
import { FlagValues } from "./flag-values.ts";
import { type AppRequest, logLevelOf, type PreparedApp, prepareApp } from "./prepare-app.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-test-"));
after(() => {
  rmSync(folder, { recursive: true });
});

/** A Configuration whose only field says which it is. */
function configuration(name: string, feature: string): string {
  const file = join(folder, name);
  writeFileSync(
    file,
    `apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: { name: x }\nspec: { ${feature} }\n`,
  );
  return file;
}

/** A directory with one Component of this name. */
function components(name: string): string {
  const directory = join(folder, name);
  mkdirSync(directory);
  writeFileSync(
    join(directory, "a.yaml"),
    `kind: Component\nmetadata: { name: ${name} }\nspec: { type: state.redis }\n`,
  );
  return directory;
}

const preserving = configuration("preserving.yaml", "invocation: { preservePath: true }");
const plain = configuration("plain.yaml", "wasm: { strictSandbox: true }");
const forGrpc = configuration(
  "for-grpc.yaml",
  "accessControl: { policies: [{ appId: a, trustDomain: t, namespace: n, operations: [{ name: /Do, action: allow }] }] }",
);
const own = components("own");
const older = components("older");
const fallen = components("fallen");

function prepare(changes: Partial<AppRequest> = {}): Promise<PreparedApp> {
  const { typed, ...others } = changes;
  return prepareApp({
    name: "run",
    typed: { "app-id": ["math"], ...typed },
    env: {},
    command: undefined,
    fallback: { configs: [], resourcePaths: [] },
    ...others,
  });
}

const skipped = (name: string): string =>
  `Component ${name} state.redis in ${join(folder, name, "a.yaml")} is not supported by this version of Outrigger and was skipped`;

test("where no flag names any, resources and Configurations are the fallback's", async () => {
  const { spec, warnings } = await prepare({ fallback: { configs: [preserving], resourcePaths: [fallen] } });
  assert.equal(spec.settings.preservePath, true);
  assert.deepEqual(warnings, [skipped("fallen")]);
});

test("what a flag names replaces the fallback, each for itself", async () => {
  const fallback = { configs: [preserving], resourcePaths: [fallen] };
  const ownConfig = await prepare({ typed: { config: [plain] }, fallback });
  assert.equal(ownConfig.spec.settings.preservePath, false);
  assert.equal(ownConfig.warnings.at(-1), skipped("fallen"));
  const ownResources = await prepare({ typed: { "resources-path": [own] }, fallback });
  assert.equal(ownResources.spec.settings.preservePath, true);
  assert.deepEqual(ownResources.warnings, [skipped("own")]);
});

test("a flag that was given without a value, as a run file's keys may be, names nothing", async () => {
  const { spec, warnings } = await prepare({
    typed: { config: [], "resources-path": [] },
    fallback: { configs: [preserving], resourcePaths: [fallen] },
  });
  assert.equal(spec.settings.preservePath, true);
  assert.deepEqual(warnings, [skipped("fallen")]);
});

test("the older name of --resources-path adds to it", async () => {
  const { warnings } = await prepare({ typed: { "components-path": [older], "resources-path": [own] } });
  assert.deepEqual(warnings, [skipped("own"), skipped("older")]);
});

test("what has no effect is told: flags first, then the Configuration, then resources", async () => {
  const { warnings } = await prepare({ typed: { "profile-port": ["9091"], config: [plain], "resources-path": [own] } });
  assert.equal(warnings.length, 3);
  assert.match(warnings[0] ?? "", /^--profile-port is accepted and has no effect/);
  assert.match(warnings[1] ?? "", /wasm.* has no effect in this version of Outrigger$/);
  assert.equal(warnings[2], skipped("own"));
});

for (const [protocol, isTold] of [
  ["http", true],
  ["https", true],
  ["h2c", false],
  ["grpc", false],
] as const) {
  test(`an access rule for gRPC is ${isTold ? "said to have no effect" : "nothing to tell of"} where the app speaks ${protocol}`, async () => {
    const { warnings } = await prepare({ typed: { config: [forGrpc], "app-protocol": [protocol] } });
    assert.equal(warnings.length, isTold ? 1 : 0);
    if (isTold)
      assert.match(warnings[0] ?? "", /operations\.0 \(allow without httpVerb\) in .* has no effect on an app that/);
  });
}

test("the command is started as it is, and its line is kept for people to read", async () => {
  const command: HostedCommand = { argv: ["python3", "-m", "math"], cwd: folder, env: { A: "b" }, stdin: "ignore" };
  const { spec } = await prepare({ command });
  assert.equal(spec.command, command);
  assert.equal(spec.settings.command, "python3 -m math");
});

test("an app that somebody else starts has no command", async () => {
  const { spec } = await prepare();
  assert.equal(spec.command, undefined);
  assert.equal(spec.settings.command, "");
});

test("what must not be left out silently stops the start", async () => {
  await assert.rejects(() => prepare({ typed: { "enable-mtls": ["true"] } }), { name: "CliError" });
  await assert.rejects(() => prepare({ typed: { "resources-path": [join(folder, "gone")] } }), {
    name: "ResourceError",
  });
});

for (const [text, level] of [
  ["debug", "debug"],
  ["WARN", "warn"],
  ["warning", "warn"],
  ["fatal", "fatal"],
] as const) {
  test(`--log-level ${text} is ${level}, also of a prepared app`, async () => {
    assert.equal(logLevelOf(new FlagValues({ "log-level": [text] })), level);
    assert.equal((await prepare({ typed: { "log-level": [text] } })).logLevel, level);
  });
}

test("without --log-level it is info", async () => {
  assert.equal((await prepare()).logLevel, "info");
});

for (const text of ["loud", "", "warnings"]) {
  test(`"${text}" is no log level`, async () => {
    await assert.rejects(() => prepare({ typed: { "log-level": [text] } }), {
      name: "CliError",
      message: `--log-level is "${text.toLowerCase()}"; give one of debug, info, warn, error, fatal`,
    });
  });
}

test("flags about an app that has no port are named in a warning", async () => {
  const typed = { "enable-app-health-check": ["true"], "app-max-concurrency": ["2"] };
  const { warnings } = await prepare({ typed });
  assert.deepEqual(warnings, [
    "--enable-app-health-check has no effect without --app-port",
    "--app-max-concurrency has no effect without --app-port",
  ]);
  const { warnings: none } = await prepare({ typed: { ...typed, "app-port": ["5000"] } });
  assert.deepEqual(none, []);
});
