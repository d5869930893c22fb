import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { brokenWall, folderOf, type Import, walls } from "../../scripts/lint/walls.js";

const src = fileURLToPath(new URL("../../src/", import.meta.url));

const modules = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts") && !path.endsWith(".test.ts"))
  .map((path) => parse(path.split(sep).join("/"), readFileSync(join(src, path), "utf8")));

function parse(path: string, text: string): ts.SourceFile {
  return ts.createSourceFile(path, text, ts.ScriptTarget.Latest);
}

function importsOf(module: ts.SourceFile): Import[] {
  const found: Import[] = [];
  const add = (name: ts.Node | undefined, typeOnly: boolean): void => {
    if (name === undefined || !ts.isStringLiteralLike(name)) return;
    found.push({ from: module.fileName, specifier: name.text, typeOnly });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      add(node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword);
    } else if (ts.isExportDeclaration(node)) {
      add(node.moduleSpecifier, node.isTypeOnly);
    } else if (ts.isImportTypeNode(node)) {
      add(ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, true);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], false);
    }
    ts.forEachChild(node, visit);
  };
  visit(module);
  return found;
}

function brokenWallsOf(module: ts.SourceFile): string[] {
  return importsOf(module).flatMap((edge) => brokenWall(edge) ?? []);
}

/** What a module does the moment it is imported, apart from declaring things. */
function sideEffectsOf(module: ts.SourceFile): string[] {
  return module.statements
    .filter((statement) => !isDeclaration(statement) || awaits(statement))
    .map((statement) => {
      const { line } = module.getLineAndCharacterOfPosition(statement.getStart(module));
      return `${module.fileName}:${line + 1}: ${statement.getText(module).split("\n", 1).join("")}`;
    });
}

/** Anything else at the top of a module (a call, an assignment, an `if`, a loop) runs on import. */
function isDeclaration(statement: ts.Statement): boolean {
  return (
    ts.isImportDeclaration(statement) ||
    ts.isExportDeclaration(statement) ||
    ts.isExportAssignment(statement) ||
    ts.isVariableStatement(statement) ||
    ts.isFunctionDeclaration(statement) ||
    ts.isClassDeclaration(statement) ||
    ts.isInterfaceDeclaration(statement) ||
    ts.isTypeAliasDeclaration(statement) ||
    ts.isEnumDeclaration(statement)
  );
}

/** Whether importing runs into an `await`: one inside a function waits until the function is called. */
function awaits(node: ts.Node): boolean {
  if (ts.isFunctionLike(node)) return false;
  return ts.isAwaitExpression(node) || (ts.forEachChild(node, awaits) ?? false);
}

test("the modules of src/ are seen", () => {
  assert.ok(modules.length >= 30, `saw only ${modules.length} modules in ${src}`);
  const edges = modules.flatMap(importsOf);
  assert.ok(edges.length >= modules.length, `saw only ${edges.length} imports in ${modules.length} modules`);
});

test("every module of src/ stands behind a wall", () => {
  const homeless = modules.map(({ fileName }) => fileName).filter((path) => folderOf(path) === undefined);
  assert.deepEqual(homeless, []);
});

test("walls.json names only folders it knows, and no two that may import each other", () => {
  for (const [folder, allowed] of Object.entries(walls.mayImport)) {
    for (const other of allowed) {
      assert.ok(walls.mayImport[other], `${folder} may import ${other}, which is no key`);
      assert.ok(!walls.mayImport[other].includes(folder), `${folder} and ${other} may import each other`);
    }
  }
  const unknown = Object.keys(walls.nodeModulesAllowedIn).filter((folder) => !(folder in walls.mayImport));
  assert.deepEqual(unknown, []);
});

test("no import breaks a wall", () => {
  assert.deepEqual(modules.flatMap(brokenWallsOf), []);
});

test("the programs of walls.json are the entries of the bundle", () => {
  const build = readFileSync(join(src, "../scripts/build.mjs"), "utf8");
  const [, entries = ""] = /entryPoints: \{(.*?)\}/s.exec(build) ?? [];
  const built = [...entries.matchAll(/"src\/([^"]+)"/g)].map(([, path]) => path);
  assert.deepEqual(built.sort(), [...walls.programs].sort());
});

const forbidden: [from: string, source: string][] = [
  ["core/errors.ts", `import { Invoker } from "../invocation/invoker.ts";`],
  ["core/errors.ts", `import type { Invoker } from "../invocation/invoker.ts";`],
  ["core/errors.ts", `export * from "../invocation/invoker.ts";`],
  ["core/errors.ts", `export type { Invoker } from "../invocation/invoker.ts";`],
  ["core/errors.ts", `type Invoker = import("../invocation/invoker.ts").Invoker;`],
  ["core/errors.ts", `const load = () => import("../invocation/invoker.ts");`],
  ["core/errors.ts", `import manifest from "../../package.json";`],
  ["core/errors.ts", `import { nobody } from "../nowhere/nobody.ts";`],
  ["core/errors.ts", `import { readFileSync } from "node:fs";`],
  ["core/errors.ts", `import { readFileSync } from "fs";`],
  ["core/errors.ts", `import { type Stats } from "node:fs";`], // Leaves `import "node:fs"` behind when compiled.
  ["security/api-token.ts", `import { request } from "node:http";`],
  ["invocation/invoker.ts", `import { Publisher } from "../pubsub/publisher.ts";`],
  ["observability/metrics.ts", `import { ApiServer } from "../transport/http/api-server.ts";`],
  ["runtime/sidecar.ts", `import { run } from "../cli/run.ts";`],
  ["cli/run.ts", `import "./main.ts";`],
  ["components/pubsub/local/entry.ts", `import("./worker-main.ts");`],
  ["cli/run.ts", `import { standardNameResolvers } from "../components/standard.ts";`],
  ["pubsub/publisher.ts", `import { decode } from "../gen/runtime.ts";`],
  ["components/pubsub/redis/redis.ts", `import { hash } from "../kafka/hash.ts";`],
  ["components/contract/pub-sub.ts", `import { hash } from "../pubsub/kafka/hash.ts";`],
];

for (const [from, source] of forbidden) {
  test(`forbidden in ${from}: ${source}`, () => {
    assert.equal(brokenWallsOf(parse(from, source)).length, 1);
  });
}

const allowed: [from: string, source: string][] = [
  ["core/errors.ts", `import { AppId } from "./app-id.ts";`],
  ["core/message.ts", `import type { Readable } from "node:stream";`],
  ["core/message.ts", `type Readable = import("node:stream").Readable;`],
  ["security/api-token.ts", `import { createHash } from "node:crypto";`],
  ["transport/grpc/server.ts", `import { decode } from "../../gen/runtime.ts";`],
  ["components/pubsub/redis/redis.ts", `import { hash } from "./hash.ts";`],
  ["components/pubsub/redis/redis.ts", `import type { PubSub } from "../../contract/pub-sub.ts";`],
  ["components/standard.ts", `import { redisManifest } from "./pubsub/redis/manifest.ts";`],
  ["runtime/sidecar.ts", `import { standardNameResolvers } from "../components/standard.ts";`],
];

for (const [from, source] of allowed) {
  test(`allowed in ${from}: ${source}`, () => {
    assert.deepEqual(brokenWallsOf(parse(from, source)), []);
    assert.equal(importsOf(parse(from, source)).length, 1);
  });
}

test("importing a module does nothing", () => {
  const imported = modules.filter(({ fileName }) => !walls.programs.includes(fileName));
  assert.deepEqual(imported.flatMap(sideEffectsOf), []);
});

const busy = [
  `start();`,
  `void start();`,
  `new Server();`,
  `globalThis.server = undefined;`,
  `if (debug) start();`,
  `await start();`,
  `export const server = await start();`,
  `for await (const line of lines) print(line);`,
];

for (const source of busy) {
  test(`a side effect: ${source}`, () => {
    assert.deepEqual(sideEffectsOf(parse("core/busy.ts", source)), [`core/busy.ts:1: ${source}`]);
  });
}

test("awaiting inside a function is no side effect", () => {
  assert.deepEqual(sideEffectsOf(parse("core/calm.ts", `export const run = async () => { await start(); };`)), []);
});
