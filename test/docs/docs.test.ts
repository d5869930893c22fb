import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { PAGES } from "../../scripts/docs-from-code.ts";
import { ROOT } from "../support/outrigger.ts";

const read = (file: string): string => readFileSync(join(ROOT, file), "utf8");

for (const [file, text] of Object.entries(PAGES)) {
  test(`${file} says what the code says`, () => {
    assert.equal(read(file), text(), "run `npm run docs`");
  });
}

/** The first code block under the heading. */
function firstBlockUnder(heading: string): string {
  const match = new RegExp(`^## ${heading}$[\\s\\S]*?^\`\`\`\\w*\\n([\\s\\S]*?)\\n\`\`\`$`, "m").exec(
    read("README.md"),
  );
  assert.ok(match?.[1], `README.md has a code block under "${heading}"`);
  return match[1];
}

test("the README's first blocks are one line each", () => {
  for (const heading of ["Run it", "Test it"]) assert.equal(firstBlockUnder(heading).split("\n").length, 1);
});

test("CI runs the line that the README gives", () => {
  assert.ok(read(".ci/run").split("\n").includes(firstBlockUnder("Test it")));
});

test("every script that the documents name exists", () => {
  const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
  for (const file of ["README.md", "AGENTS.md", "CONTRIBUTING.md"]) {
    for (const [, name = ""] of read(file).matchAll(/npm run ([\w:]+)/g))
      assert.ok(scripts[name], `${file}: npm run ${name}`);
  }
});

test("links between the documents lead somewhere", () => {
  for (const file of ["README.md", "AGENTS.md", "CONTRIBUTING.md", "docs/architecture.md"]) {
    for (const [, target = ""] of read(file).matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)) {
      assert.ok(existsSync(join(ROOT, dirname(file), target)), `${file} links to ${target}`);
    }
  }
});
