import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { readResourceFolders } from "./resource-folder.ts";

function folderWith(t: TestContext, files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-test-"));
  t.after(() => {
    rmSync(folder, { recursive: true });
  });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}

test("every document of every YAML file is found, in the order of the names", (t) => {
  const folder = folderWith(t, {
    "b.yml": "kind: Resiliency\nmetadata: { name: r }\n",
    "a.yaml":
      "kind: Component\nmetadata: { name: pubsub }\nspec: { type: pubsub.redis }\n---\nkind: Subscription\nmetadata: { name: s }\n",
  });
  const found = readResourceFolders([folder]).map(({ kind, name, type, file }) => ({ kind, name, type, file }));
  assert.deepEqual(found, [
    { kind: "Component", name: "pubsub", type: "pubsub.redis", file: join(folder, "a.yaml") },
    { kind: "Subscription", name: "s", type: "", file: join(folder, "a.yaml") },
    { kind: "Resiliency", name: "r", type: "", file: join(folder, "b.yml") },
  ]);
});

test("what is no resource of ours is passed over", (t) => {
  const folder = folderWith(t, {
    "deployment.yaml": "kind: Deployment\nmetadata: { name: d }\n",
    "list.yaml": "- 1\n- 2\n",
    "text.yaml": "just words\n",
    "readme.md": "kind: Component\n",
    "broken.json": "{",
  });
  mkdirSync(join(folder, "nested"));
  assert.deepEqual(readResourceFolders([folder]), []);
});

test("a resource whose name is missing or no text is found all the same", (t) => {
  const folder = folderWith(t, { "a.yaml": "kind: Component\n---\nkind: Component\nmetadata: { name: 7 }\n" });
  assert.deepEqual(
    readResourceFolders([folder]).map(({ kind, name }) => [kind, name]),
    [
      ["Component", ""],
      ["Component", ""],
    ],
  );
});

test("a file that is not YAML is named with its line", (t) => {
  const folder = folderWith(t, { "a.yaml": "kind: Component\nspec: [\n" });
  assert.throws(() => readResourceFolders([folder]), {
    name: "ResourceError",
    message: new RegExp(`^${join(folder, "a.yaml")}:3: not valid YAML: `),
  });
});

test("a folder that is not there, or is none, is named", (t) => {
  const folder = folderWith(t, { "a.yaml": "" });
  for (const path of [join(folder, "nowhere"), join(folder, "a.yaml")]) {
    assert.throws(() => readResourceFolders([path]), {
      name: "ResourceError",
      message: new RegExp(`^cannot read the resources path ${path}: `),
    });
  }
});
