import { readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { posix } from "node:path";

/**
 * The walls between the folders of src/, decided here once for the ESLint rule (`import-walls.js`) and for
 * `test/architecture/walls.test.ts`. The table is `walls.json`:
 *
 * - `mayImport`: folder -> every folder it may import from, besides itself. The first key that matches a path wins;
 *   `<...>` stands for any one name. A key that ends in a file name is a wall around that file.
 * - `nodeModulesAllowedIn`: folders that do no I/O -> the Node modules they may use all the same. Folders that are not
 *   listed may use all of them.
 * - `programs`: modules that are run and not imported. They alone do something when they are loaded, and each is an entry of
 *   the bundle (scripts/build.mjs).
 *
 * Types are declared in `walls.d.ts`: this must be JavaScript, because ESLint loads it without a compiler.
 */
export const walls = JSON.parse(readFileSync(new URL("./walls.json", import.meta.url), "utf8"));

/** Which wall a path inside src/ stands behind; undefined when the table knows none. */
export function folderOf(path) {
  const names = path.split("/");
  for (const wall of Object.keys(walls.mayImport)) {
    const parts = wall.split("/");
    if (parts.every((part, i) => part === names[i] || (part.startsWith("<") && names[i] !== undefined))) {
      return { wall, path: names.slice(0, parts.length).join("/") };
    }
  }
  return undefined;
}

/** What is wrong with one import, in words; undefined when it is allowed. */
export function brokenWall({ from, specifier, typeOnly }) {
  const importer = folderOf(from);
  if (importer === undefined) return `${from} is in no folder that scripts/lint/walls.json knows`;
  if (isBuiltin(specifier)) return typeOnly ? undefined : brokenPurity(importer, specifier);
  if (!specifier.startsWith(".")) return undefined; // A package: knip and package.json watch over those.

  const target = posix.join(posix.dirname(from), specifier);
  if (walls.programs.includes(target)) return `${target} is a program, which is run and not imported`;
  if (target.startsWith("..")) return `${from} imports ${specifier}, which is outside src/`;
  const imported = folderOf(target);
  if (imported === undefined) return `${target} is in no folder that scripts/lint/walls.json knows`;
  // Paths, not walls: two components stand behind the same wall and still may not see each other.
  if (imported.path === importer.path || walls.mayImport[importer.wall].includes(imported.wall)) return undefined;
  return `${importer.path} may not import from ${imported.path} (${specifier}); see scripts/lint/walls.json`;
}

function brokenPurity(importer, specifier) {
  const allowed = walls.nodeModulesAllowedIn[importer.wall];
  const name = specifier.startsWith("node:") ? specifier : `node:${specifier}`;
  if (allowed === undefined || allowed.includes(name)) return undefined;
  return `${importer.path} does no I/O: it may import only types from ${name}; see scripts/lint/walls.json`;
}
