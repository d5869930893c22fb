import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../test/support/manual-clock.ts";
import type { NameResolution } from "../resources/configuration.ts";
import { parseYaml, sectionAt } from "../resources/yaml-file.ts";
import { NameResolvers } from "./name-resolvers.ts";

const noLog = { debug: fail, info: fail, warn: fail, error: fail };

function fail(message: string): void {
  assert.fail(message);
}

function resolvers(): NameResolvers {
  const registry = { description: "the registry at HOME", instancesOf: () => [] };
  return new NameResolvers({ registry, hosts: () => false, clock: new ManualClock(), log: noLog });
}

/** As `resources/` reads it, from a file whose first line is `nameResolution:`. */
function spec(section: string): NameResolution {
  const [document] = parseYaml(`nameResolution:\n${section}`, "config.yaml");
  assert.ok(document);
  const { component, version, configuration } = (document.value as { nameResolution: Record<string, unknown> })
    .nameResolution as { component?: string; version?: string; configuration?: unknown };
  return {
    component,
    version,
    configuration: sectionAt(document, ["nameResolution", "configuration"], configuration),
    placeOf: (field) => `config.yaml:${document.lineOf(["nameResolution", field])}`,
  };
}

test("without a word about it, and where a Configuration leaves it open, the registry is asked", async () => {
  const all = resolvers();
  const registry = await all.get(undefined);
  assert.equal(registry.description, "the registry at HOME");
  assert.equal((await all.get(spec("  configuration: {}"))).description, "the registry at HOME");
  await all.close();
});

test("those who ask for the same share one, and others have their own", async () => {
  const all = resolvers();
  const [one, same, upper] = [
    await all.get(spec("  component: static\n  configuration: { a: 'h:1' }")),
    await all.get(spec("  component: static\n  version: v1\n  configuration:\n    a: h:1")),
    await all.get(spec("  component: STATIC\n  configuration: { a: 'h:1' }")),
  ];
  assert.equal(one, same);
  assert.equal(one, upper);
  assert.notEqual(one, await all.get(spec("  component: static\n  configuration: { a: 'h:2' }")));
  assert.notEqual(one, await all.get(undefined));
  await all.close();
  await all.close();
});

const KNOWN = "the components are registry, mdns, static";
const WRONG: [section: string, message: string][] = [
  ["  component: mdsn", `config.yaml:2: there is no name resolution component "mdsn"; ${KNOWN}; did you mean "mdns"?`],
  ["  component: zookeeper", `config.yaml:2: there is no name resolution component "zookeeper"; ${KNOWN}`],
  ["  component: ''", `config.yaml:2: there is no name resolution component ""; ${KNOWN}`],
  ...["consul", "kubernetes", "sqlite", "Consul", "nameformat", "aws.cloudmap"].map((name): [string, string] => [
    `  version: v1\n  component: ${name}`,
    `config.yaml:3: spec.nameResolution.component "${name}" is one of Dapr's that this version of Outrigger does not have; ${KNOWN}`,
  ]),
  [
    "  component: mdns\n  version: v2",
    'config.yaml:3: spec.nameResolution.version is "v2", and there is only v1 of mdns; leave it out',
  ],
  [
    "  component: mdns\n  configuration:\n    ttl: 5",
    "config.yaml:4: mdns takes no configuration; remove nameResolution.configuration.ttl",
  ],
  [
    "  component: registry\n  configuration: yes",
    "config.yaml:3: registry takes no configuration; remove nameResolution.configuration",
  ],
  [
    "  component: static\n  configuration:\n    a: h",
    'config.yaml:4: nameResolution.configuration.a: "h" is no host:port; write 10.0.0.7:47300, or [fd00::7]:47300',
  ],
  [
    "  component: static",
    "config.yaml:1: nameResolution.configuration: give a table of app ids, each with one host:port or a list of them",
  ],
];

for (const [section, message] of WRONG) {
  test(`refused with file and line: ${section.replaceAll(/\s+/g, " ")}`, async () => {
    const all = resolvers();
    await assert.rejects(async () => all.get(spec(section)), { name: "SetupError", message });
    await all.close();
  });
}
