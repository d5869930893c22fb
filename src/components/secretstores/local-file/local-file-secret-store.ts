import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { ComponentMetadata } from "../../contract/component-metadata.ts";
import type { SecretStore } from "../../contract/secret-store.ts";

type Secrets = ReadonlyMap<string, ReadonlyMap<string, string>>;

/**
 * `secretstores.local.file`: a JSON file. What is nested in it is one secret for each value, its name the way to it
 * (`redis:password`), or, with `multiValued`, one secret of several values for each object of the first level.
 */
export class LocalFileSecretStore implements SecretStore {
  #secrets: Secrets = new Map();

  async init(metadata: ComponentMetadata): Promise<void> {
    metadata.refuseUnknown(["secretsFile", "nestedSeparator", "multiValued"]);
    const file = metadata.get("secretsFile");
    if (file === undefined || file === "") throw new Error("metadata field secretsFile is missing; name a JSON file");
    const separator = metadata.get("nestedSeparator") ?? ":";
    const isMultiValued = /^(?:true|yes|on|1|t|y)$/i.test(metadata.get("multiValued") ?? "");
    const path = resolve(dirname(metadata.file), file);
    const tree = await readTree(path);
    this.#secrets = isMultiValued ? multiValued(tree, separator) : flat(tree, separator);
  }

  secret(name: string): Promise<ReadonlyMap<string, string> | undefined> {
    return Promise.resolve(this.#secrets.get(name));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

type Tree = Readonly<Record<string, unknown>>;

/** @throws {Error} naming the file, never what stands in it. */
async function readTree(path: string): Promise<Tree> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    const { code = "" } = cause as NodeJS.ErrnoException;
    throw new Error(`the secrets file ${path} cannot be read (${code})`, { cause });
  }
  try {
    const tree: unknown = JSON.parse(text);
    if (isTree(tree)) return tree;
  } catch {
    // What JSON.parse says quotes the file.
  }
  throw new Error(`the secrets file ${path} is no JSON object; write {"name": "secret", …}`);
}

function flat(tree: Tree, separator: string): Secrets {
  return new Map([...leaves(tree, separator)].map(([name, value]) => [name, new Map([[name, value]])]));
}

function multiValued(tree: Tree, separator: string): Secrets {
  return new Map(
    Object.entries(tree).map(([name, value]) => [
      name,
      isTree(value) ? new Map(leaves(value, separator)) : new Map([[name, textOf(value)]]),
    ]),
  );
}

function* leaves(value: unknown, separator: string, path: readonly string[] = []): Generator<[string, string]> {
  if (typeof value !== "object" || value === null) yield [path.join(separator), textOf(value)];
  else for (const [key, below] of Object.entries(value)) yield* leaves(below, separator, [...path, key]);
}

function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
