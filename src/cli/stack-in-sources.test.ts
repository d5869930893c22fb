import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import { stackInSources } from "./stack-in-sources.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-test-"));
after(() => {
  rmSync(folder, { recursive: true });
});

const bundle = pathToFileURL(join(folder, "bundle.js")).href;
// The first column of the bundle's second line is the third of the fourth line of src/a.ts.
writeFileSync(
  join(folder, "bundle.js.map"),
  JSON.stringify({ version: 3, sources: ["src/a.ts"], names: [], mappings: ";AAGE" }),
);

test("a place in a bundled file becomes the place in its source, with or without a name before it", () => {
  const stack = `Error: no\n    at work (${bundle}:2:1)\n    at async ${bundle}:2:5`;
  const place = `${join(folder, "src/a.ts")}:4:3`;
  assert.equal(stackInSources(stack), `Error: no\n    at work (${place})\n    at async ${place}`);
});

test("what has no map stays as it is", () => {
  const unmapped = pathToFileURL(join(folder, "other.js")).href;
  const stack = `Error: ${bundle}\n    at a (${unmapped}:2:1)\n    at node:internal/process:1:2\n    at ${bundle}:1:1`;
  assert.equal(stackInSources(stack), stack);
});
