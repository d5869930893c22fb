import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../../../test/support/manual-clock.ts";
import { anApp, testNameResolverContract } from "../../../../test/support/name-resolver-contract.ts";
import { type AppIdentity, qualifiedName, sameApp } from "../../../core/app-id.ts";
import { parseYaml, sectionAt } from "../../../resources/yaml-file.ts";
import type { NameResolverConfiguration } from "../../contract/name-resolver.ts";
import { StaticResolver } from "./static-resolver.ts";
import { readTable } from "./static-table.ts";

/** `spec.nameResolution.configuration` as it would stand in a Configuration: the table begins on line 2. */
function configuration(text: string): NameResolverConfiguration {
  const [document] = parseYaml(`configuration:\n${text}`, "config.yaml");
  assert.ok(document);
  return sectionAt(document, ["configuration"], (document.value as { configuration: unknown }).configuration);
}

function resolverOf(text: string, hosted: readonly AppIdentity[] = []) {
  const clock = new ManualClock();
  const hosts = (app: AppIdentity): boolean => hosted.some((other) => sameApp(other, app));
  const resolver = new StaticResolver(readTable(configuration(text)), { clock, hosts });
  const find = async (id: string, namespace?: string): Promise<string[]> =>
    (await resolver.resolve(anApp(id, namespace))).map(({ host, port }) => `${host} ${port}`);
  return { clock, resolver, find };
}

testNameResolverContract("static", (_, announced) => {
  const names = [...new Set(announced.map(({ app }) => qualifiedName(app)))];
  const lines = names.map((name) => {
    const instances = announced.filter(({ app }) => qualifiedName(app) === name);
    return `  ${name}: [${instances.map(({ host, port }) => `"${host}:${port}"`).join(", ")}]`;
  });
  const { resolver } = resolverOf(lines.join("\n"));
  return Promise.resolve({ finder: resolver, find: (app) => resolver.resolve(app) });
});

test("an app has one address or several, names and IPv6 among them", async () => {
  const { find } = resolverOf(
    ["  a: localhost:1", "  b: ['10.0.0.7:47300', '[fd00::7]:65535']", "  c: 'my-host.lan:80'"].join("\n"),
  );
  assert.deepEqual(await find("a"), ["localhost 1"]);
  assert.deepEqual(await find("b"), ["10.0.0.7 47300", "fd00::7 65535"]);
  assert.deepEqual(await find("c"), ["my-host.lan 80"]);
});

test("an id without a namespace stands for every namespace that has no entry of its own", async () => {
  const { find } = resolverOf("  math: h:1\n  math.prod: h:2");
  assert.deepEqual(await find("math"), ["h 1"]);
  assert.deepEqual(await find("math", "test"), ["h 1"]);
  assert.deepEqual(await find("math", "prod"), ["h 2"]);
});

test("an address that could not be reached is left out for a second, unless there is no other", async () => {
  const { clock, resolver, find } = resolverOf("  math: [h:1, h:2]");
  const [one, two] = await resolver.resolve(anApp("math"));
  assert.ok(one && two);
  resolver.reportUnreachable(one);
  assert.deepEqual(await find("math"), ["h 2"]);
  resolver.reportUnreachable(two);
  assert.deepEqual(await find("math"), ["h 1", "h 2"]);
  clock.advance(500);
  resolver.reportUnreachable(two);
  clock.advance(500);
  assert.deepEqual(await find("math"), ["h 1"]);
  clock.advance(500);
  assert.deepEqual(await find("math"), ["h 1", "h 2"]);
});

test("an app that the process itself runs is left to it: there its callers keep their identity", async () => {
  const { find } = resolverOf("  math: h:1\n  other: h:2", [anApp("math", "prod")]);
  assert.deepEqual(await find("math", "prod"), []);
  assert.deepEqual(await find("math"), ["h 1"]);
  assert.deepEqual(await find("other", "prod"), ["h 2"]);
});

test("what answers at an address of the table has to prove who it is", async () => {
  const { resolver } = resolverOf("  math: h:1");
  assert.deepEqual(
    (await resolver.resolve(anApp("math"))).map(({ wire }) => wire),
    ["unproven"],
  );
});

const ADDRESS = "is no host:port; write 10.0.0.7:47300, or [fd00::7]:47300";
const WRONG: [what: string, text: string, message: string][] = [
  [
    "no table",
    "  - a",
    "config.yaml:1: configuration: give a table of app ids, each with one host:port or a list of them",
  ],
  ["an empty table", "  {}", "config.yaml:1: configuration: the table is empty, so no app could be found"],
  [
    "an id with three parts",
    "  a.b.c: h:1",
    'config.yaml:2: configuration.a.b.c: "a.b.c" is no app id; write id or id.namespace',
  ],
  [
    "an id with a space",
    "  a: h:1\n  b c: h:1",
    'config.yaml:3: configuration.b c: "b c" is no app id; write id or id.namespace',
  ],
  ["an empty list", "  a: []", "config.yaml:2: configuration.a: the list is empty; give at least one host:port"],
  ["a number", "  a: 47300", "config.yaml:2: configuration.a: give host:port as text"],
  ["a nested list", "  a:\n    - h:1\n    - [h:2]", "config.yaml:4: configuration.a.1: give host:port as text"],
  ["no value", "  a:", "config.yaml:2: configuration.a: give host:port as text"],
  ["no port", "  a: h", `config.yaml:2: configuration.a: "h" ${ADDRESS}`],
  ["port 0", "  a: h:0", `config.yaml:2: configuration.a: "h:0" ${ADDRESS}`],
  ["a port that is too high", "  a: h:65536", `config.yaml:2: configuration.a: "h:65536" ${ADDRESS}`],
  ["a URL", "  a: http://h:1", `config.yaml:2: configuration.a: "http://h:1" ${ADDRESS}`],
  ["IPv6 without brackets", "  a: fd00::7:1", `config.yaml:2: configuration.a: "fd00::7:1" ${ADDRESS}`],
  ["brackets around a name", "  a: '[abc]:1'", `config.yaml:2: configuration.a: "[abc]:1" ${ADDRESS}`],
  ["an address twice", "  a: [h:1, h:1]", 'config.yaml:2: configuration.a.1: "h:1" stands here twice'],
];

for (const [what, text, message] of WRONG) {
  test(`refused with file and line: ${what}`, () => {
    assert.throws(() => readTable(configuration(text)), { name: "SetupError", message });
  });
}

test("without a table the component is refused: it would find nobody", () => {
  assert.throws(() => readTable(undefined), { name: "SetupError", message: /static needs a table/ });
  assert.throws(() => readTable({ ...configuration("  a: h:1"), value: undefined }), {
    name: "SetupError",
    message: "config.yaml:1: configuration: give a table of app ids, each with one host:port or a list of them",
  });
});
