// A step of `npm run check`: src/gen/ is what `npm run gen` makes of proto/ today. Generates into a folder of its own and
// touches nothing.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const fresh = mkdtempSync(join(tmpdir(), "outrigger-gen-"));
try {
  const { status, error } = spawnSync("buf", ["generate", "--output", fresh], { cwd: root, stdio: "inherit" });
  if (error) throw error;
  process.exitCode = status ?? 1;
  if (status === 0) report(differences(filesUnder(join(root, "src/gen")), filesUnder(join(fresh, "src/gen"))));
} finally {
  rmSync(fresh, { recursive: true, force: true });
}

/** Path below the folder -> content. */
function filesUnder(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(paths.map((path) => [path.slice(folder.length + 1), readFileSync(path, "utf8")]));
}

function differences(committed, generated) {
  const paths = [...new Set([...committed.keys(), ...generated.keys()])].sort();
  return paths.filter((path) => committed.get(path) !== generated.get(path));
}

function report(paths) {
  for (const path of paths) console.log(`src/gen/${path} is not what proto/ generates`);
  if (paths.length === 0) return;
  console.log("Run `npm run gen` and commit src/gen/.");
  process.exitCode = 1;
}
