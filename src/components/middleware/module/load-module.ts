import { stat } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { messageOf } from "../../../core/errors.ts";

/** What a module has to export as its default. May answer later. */
export type CreateMiddleware = (context: unknown) => unknown;

/**
 * The default export of an ES module: a function, or an object with a function `create`. A file that was edited since is
 * loaded anew; what it imports is not, and what it was before stays in memory (Node forgets no module).
 *
 * @throws {Error} naming the file.
 */
export async function loadModule(file: string): Promise<CreateMiddleware> {
  const loaded = await importFresh(file);
  const exported: unknown = loaded["default"];
  if (exported === undefined) {
    const names = Object.keys(loaded).join(", ");
    const there = names === "" ? "it exports nothing" : `it exports ${names}`;
    throw new Error(`${file} has no default export (${there}); write: export default (context) => ({ handle })`);
  }
  if (isFunction(exported)) return exported;
  if (typeof exported === "object" && exported !== null && "create" in exported && isFunction(exported.create)) {
    return exported.create.bind(exported);
  }
  throw new Error(`the default export of ${file} is no function, nor an object with a function create`);
}

async function importFresh(file: string): Promise<Readonly<Record<string, unknown>>> {
  const version = await versionOf(file);
  try {
    return (await import(`${pathToFileURL(file).href}?version=${version}`)) as Record<string, unknown>;
  } catch (cause) {
    throw new Error(`${file} cannot be loaded: ${messageOf(cause)}`, { cause });
  }
}

/** Another one for each edit. */
async function versionOf(file: string): Promise<string> {
  try {
    const { mtimeMs, size, ino } = await stat(file);
    return `${mtimeMs}-${size}-${ino}`;
  } catch (cause) {
    const { code = "" } = cause as NodeJS.ErrnoException;
    const what = code === "ENOENT" ? "there is no such file" : code;
    throw new Error(`${file} cannot be loaded: ${what}`, { cause });
  }
}

function isFunction(value: unknown): value is CreateMiddleware {
  return typeof value === "function";
}
