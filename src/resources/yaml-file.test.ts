import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { z } from "zod";
import { checkDocument, parseYaml, ResourceError, readYamlFile, type YamlDocument } from "./yaml-file.ts";

const RUN_FILE = `version: 1
common:
  env:
    DEBUG: "1"
apps:
  - appID: front
    appDirPath: ./front
  - appID: math
    command: [
      python3,
      math.py]
    flow: { a: 1,
      b: 2 }
`;

const LINES: [path: PropertyKey[], line: number][] = [
  [[], 1],
  [["version"], 1],
  [["common"], 2],
  [["common", "env"], 3],
  [["common", "env", "DEBUG"], 4],
  [["apps"], 5],
  [["apps", 0], 6],
  [["apps", 0, "appID"], 6],
  [["apps", 0, "appDirPath"], 7],
  [["apps", 1], 8],
  [["apps", 1, "appID"], 8],
  [["apps", 1, "command"], 9],
  [["apps", 1, "command", 0], 10],
  [["apps", 1, "command", 1], 11],
  [["apps", 1, "flow"], 12],
  [["apps", 1, "flow", "b"], 13],
];

for (const [path, line] of LINES) {
  test(`the field "${path.join(".")}" is on line ${line}`, () => {
    assert.equal(only(parseYaml(RUN_FILE, "dapr.yaml")).lineOf(path), line);
  });
}

test("the line of a field that is not there is that of what it should be in", () => {
  const runFile = only(parseYaml(RUN_FILE, "dapr.yaml"));
  assert.equal(runFile.lineOf(["common", "env", "TRACE"]), 3);
  assert.equal(runFile.lineOf(["apps", 1, "appDirPath"]), 8);
  assert.equal(runFile.lineOf(["replicas"]), 1);
});

test("blank lines and comments do not move a field", () => {
  const spread = only(parseYaml("# about\n\ncommon:\n\n  # about the level\n  logLevel:\n    debug\n", "f.yaml"));
  assert.equal(spread.lineOf(["common"]), 3);
  assert.equal(spread.lineOf(["common", "logLevel"]), 6);
});

test("every document of a file is read, with lines counted from the file's beginning; empty ones are left out", () => {
  const documents = parseYaml("---\n# nothing\n---\na: 1\n---\n---\nb: 2\n", "f.yaml");
  assert.deepEqual(
    documents.map(({ value }) => value),
    [{ a: 1 }, { b: 2 }],
  );
  assert.deepEqual(
    documents.map((read, at) => read.lineOf([["a", "b"][at] ?? ""])),
    [4, 7],
  );
});

test("a file with nothing in it has no document", () => {
  assert.deepEqual(parseYaml("", "f.yaml"), []);
  assert.deepEqual(parseYaml("# only a comment\n", "f.yaml"), []);
});

const BROKEN: [what: string, text: string, line: number][] = [
  ["a bracket that is left open", "a: 1\nb: [1, 2\n", 3],
  ["a key that is there twice", "a: 1\nb: 2\na: 3\n", 3],
  ["a tab for indentation", "a:\n\tb: 1\n", 2],
  ["an alias that leads nowhere", "a: 1\nb: *nowhere\n", 2],
];

for (const [what, text, line] of BROKEN) {
  test(`${what} is refused with file and line, in one line`, () => {
    assert.throws(
      () => parseYaml(text, "f.yaml"),
      (error) =>
        error instanceof ResourceError &&
        error.message.startsWith(`f.yaml:${line}: not valid YAML: `) &&
        !error.message.includes("\n"),
    );
  });
}

test("aliases that would make a small file huge are refused", () => {
  const levels = Array.from(
    { length: 9 },
    (_, at) => `l${at + 1}: &l${at + 1} [${"*lX,".replace("X", String(at)).repeat(9)}]`,
  );
  assert.throws(() => parseYaml(["l0: &l0 [x]", ...levels].join("\n"), "bomb.yaml"), ResourceError);
});

test("a file that cannot be read is named", () => {
  assert.throws(() => readYamlFile("/nowhere/dapr.yaml"), {
    name: "ResourceError",
    message: /^cannot read \/nowhere\/dapr\.yaml: ENOENT/,
  });
});

test("a file is read from disk", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-test-"));
  t.after(() => {
    rmSync(folder, { recursive: true });
  });
  const file = join(folder, "f.yaml");
  writeFileSync(file, "a: é\n");
  const document = only(readYamlFile(file));
  assert.deepEqual([document.file, document.value], [file, { a: "é" }]);
});

const schema = z.strictObject({
  kind: z.literal("Thing"),
  spec: z
    .strictObject({
      preservePath: z.boolean().optional(),
      rules: z.array(z.strictObject({ action: z.enum(["allow", "deny"]), appId: z.string() })).optional(),
      env: z.record(z.string(), z.string()).optional(),
    })
    .default({}),
});

test("a document that fits is given back as the schema understands it", () => {
  assert.deepEqual(checkDocument(document("kind: Thing\n"), schema), { kind: "Thing", spec: {} });
});

const REFUSED: [what: string, text: string, message: string][] = [
  [
    "an unknown field, with the one that was meant",
    "kind: Thing\nspec:\n  preservePaths: true\n",
    'f.yaml:3: unknown field "spec.preservePaths"; did you mean "preservePath"?',
  ],
  [
    "an unknown field of an entry of a list",
    "kind: Thing\nspec:\n  rules:\n    - action: allow\n      appId: a\n    - action: deny\n      appID: b\n",
    'f.yaml:7: unknown field "spec.rules.1.appID"; did you mean "appId"?',
  ],
  ["an unknown field that is like none", "kind: Thing\nreplicas: 3\n", 'f.yaml:2: unknown field "replicas"'],
  [
    "a value that is none of those allowed",
    "kind: Thing\nspec:\n  rules:\n    - appId: a\n      action: maybe\n",
    'f.yaml:5: spec.rules.0.action: Invalid option: expected one of "allow"|"deny"',
  ],
  [
    "a value of another type",
    'kind: Thing\nspec:\n  preservePath: "yes"\n',
    "f.yaml:3: spec.preservePath: Invalid input: expected boolean, received string",
  ],
  [
    "a value under a key of the user's own",
    "kind: Thing\nspec:\n  env:\n    A: x\n    B: 1\n",
    "f.yaml:5: spec.env.B: Invalid input: expected string, received number",
  ],
  ["a field that is missing", "spec: {}\n", 'f.yaml:1: kind: Invalid input: expected "Thing"'],
];

for (const [what, text, message] of REFUSED) {
  test(`refused with file, line and field: ${what}`, () => {
    assert.throws(() => checkDocument(document(text), schema), { name: "ResourceError", message });
  });
}

function document(text: string): YamlDocument {
  return only(parseYaml(text, "f.yaml"));
}

function only(documents: readonly YamlDocument[]): YamlDocument {
  const [document] = documents;
  assert.ok(document);
  assert.equal(documents.length, 1);
  return document;
}
