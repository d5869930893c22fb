import { readFileSync } from "node:fs";
import { type Document, isMap, isNode, isScalar, LineCounter, parseAllDocuments, visit } from "yaml";
import type { z } from "zod";
import { SetupError } from "../core/errors.ts";
import { nearestName } from "../core/nearest-name.ts";

/** One document of a YAML file, with the way back to the line of each field. */
export interface YamlDocument {
  readonly file: string;
  /** Where the value stands, if it is a section of a larger document. */
  readonly path?: readonly PropertyKey[];
  readonly value: unknown;
  /** The line on which the field at `path` stands, counted from 1. */
  lineOf(path: readonly PropertyKey[]): number;
}

/** What is wrong with a file, in one line: file, line, field, and what to do. */
export class ResourceError extends SetupError {
  override readonly name = "ResourceError";
}

// YAML lets a small file grow to gigabytes through aliases; resources have no use for more than a few.
const MAX_ALIASES = 100;

/** Every document of the file; empty ones are left out. @throws {ResourceError} */
export function readYamlFile(file: string): YamlDocument[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new ResourceError(`cannot read ${file}: ${(cause as Error).message}`, { cause });
  }
  return parseYaml(text, file);
}

/** @throws {ResourceError} */
export function parseYaml(text: string, file: string): YamlDocument[] {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines });
  return [...documents].flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) {
      const { line } = lines.linePos(error.pos[0]);
      const what = error.message.split("\n")[0] ?? "";
      throw new ResourceError(`${file}:${line}: not valid YAML: ${what}`);
    }
    const value = valueOf(document, file, lines);
    if (value === null || value === undefined) return [];
    const lineOf = (path: readonly PropertyKey[]): number => {
      for (let length = path.length; length >= 0; length--) {
        const node = nodeAt(document, path.slice(0, length));
        if (isNode(node) && node.range != null) return lines.linePos(node.range[0]).line;
      }
      return 1;
    };
    return [{ file, value, lineOf }];
  });
}

/** What the field at `path` begins with: its key where it has one, else the item of a list, or the whole document. */
function nodeAt(document: Document.Parsed, path: readonly PropertyKey[]): unknown {
  const parent = document.getIn(path.slice(0, -1), true);
  if (path.length === 0 || !isMap(parent)) return document.getIn(path, true);
  return parent.items.find(({ key }) => isScalar(key) && String(key.value) === String(path.at(-1)))?.key;
}

/** @throws {ResourceError} where an alias leads nowhere, or aliases make the document grow too much. */
function valueOf(document: Document.Parsed, file: string, lines: LineCounter): unknown {
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (cause) {
    let at = 0;
    visit(document, {
      Alias: (_, alias) => {
        at = alias.range?.[0] ?? at;
        return alias.resolve(document) === undefined ? visit.BREAK : undefined;
      },
    });
    throw new ResourceError(`${file}:${lines.linePos(at).line}: not valid YAML: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** The part of a document that stands at `path`, to be checked by itself. */
export function sectionAt(
  document: YamlDocument,
  path: readonly PropertyKey[],
  value: unknown,
): Required<YamlDocument> {
  return { file: document.file, path, value, lineOf: (below) => document.lineOf([...path, ...below]) };
}

/**
 * The document as `schema` understands it. A known field without a value (YAML's null) is taken for absent, as Go's
 * decoders do; a commented-out section leaves one behind.
 *
 * @throws {ResourceError} for the first thing that is wrong: file, line, path of the field, and for an unknown field the
 *   nearest known one.
 */
export function checkDocument<Schema extends z.ZodType>(document: YamlDocument, schema: Schema): z.output<Schema> {
  const result = schema.safeParse(withoutNulls(document.value, schema as SchemaNode));
  if (result.success) return result.data;
  // A required field that is misspelled is unknown and missing; the first is what helps.
  const issue = result.error.issues.find(({ code }) => code === "unrecognized_keys") ?? result.error.issues[0];
  if (issue === undefined) throw new ResourceError(`${document.file}: not valid`);
  if (issue.code === "unrecognized_keys") {
    const [key = ""] = issue.keys;
    const path = [...issue.path, key];
    const near = nearestName(key, knownKeysAt(schema, issue.path));
    const hint = near === undefined ? "" : `; did you mean "${near}"?`;
    throw new ResourceError(`${place(document, path)}: unknown field "${pathText(document, path)}"${hint}`);
  }
  throw new ResourceError(`${place(document, issue.path)}: ${pathText(document, issue.path)}: ${issue.message}`);
}

/** Without the fields of `node` that are null. What the schema knows no fields of stays as it is. */
function withoutNulls(value: unknown, node: SchemaNode | undefined): unknown {
  const { shape, element, valueType } = bare(node) ?? {};
  if (Array.isArray(value)) return value.map((item) => withoutNulls(item, element));
  if (valueType !== undefined && typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, withoutNulls(field, valueType)]));
  }
  if (shape === undefined || typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).filter(([name, field]) => field !== null || !Object.hasOwn(shape, name));
  return Object.fromEntries(fields.map(([name, field]) => [name, withoutNulls(field, shape[name])]));
}

function place(document: YamlDocument, path: readonly PropertyKey[]): string {
  return `${document.file}:${document.lineOf(path)}`;
}

function pathText({ path: start = [] }: YamlDocument, path: readonly PropertyKey[]): string {
  return [...start, ...path].map(String).join(".");
}

/** The part of a zod schema that says which fields it knows. */
interface SchemaNode {
  readonly shape?: Readonly<Record<string, SchemaNode>>;
  readonly element?: SchemaNode;
  /** Of every value of a record. */
  readonly valueType?: SchemaNode;
  unwrap?(): SchemaNode;
}

function knownKeysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let node = bare(schema as SchemaNode);
  for (const step of path)
    node = bare(typeof step === "number" ? node?.element : (node?.shape?.[String(step)] ?? node?.valueType));
  return Object.keys(node?.shape ?? {});
}

/** Without the wrappers that say "optional" or "has a default". */
function bare(node: SchemaNode | undefined): SchemaNode | undefined {
  const isWrapper = node?.shape === undefined && node?.element === undefined && node?.valueType === undefined;
  return isWrapper && node?.unwrap !== undefined ? bare(node.unwrap()) : node;
}
