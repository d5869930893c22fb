import { readdirSync, statSync } from "node:fs";
import { extname, join } from "node:path";
import { ResourceError, readYamlFile, type YamlDocument } from "./yaml-file.ts";

/** A resource found in a folder, its spec not yet looked at. */
export interface FoundResource {
  readonly kind: string;
  readonly name: string;
  /** Of a Component; empty otherwise. */
  readonly type: string;
  readonly file: string;
  readonly document: YamlDocument;
}

// The kinds Outrigger means to understand (design.md). Others in the same folder, such as a Deployment, are not ours.
const KINDS = new Set(["Component", "Subscription", "HTTPEndpoint", "Resiliency", "InnerCallPolicy"]);

/**
 * What the YAML files of these folders define.
 *
 * @throws {ResourceError} for a folder that cannot be read and for a file that is not YAML.
 */
export function readResourceFolders(folders: readonly string[]): FoundResource[] {
  return folders.flatMap(yamlFilesIn).flatMap(readYamlFile).flatMap(toResource);
}

function yamlFilesIn(folder: string): string[] {
  try {
    if (!statSync(folder).isDirectory()) throw new Error("it is not a directory");
    const names = readdirSync(folder).filter((name) => [".yaml", ".yml"].includes(extname(name)));
    return names.sort().map((name) => join(folder, name));
  } catch (cause) {
    throw new ResourceError(`cannot read the resources path ${folder}: ${(cause as Error).message}`, { cause });
  }
}

function toResource(document: YamlDocument): FoundResource[] {
  const { file, value } = document;
  const { kind, metadata, spec } = (value ?? {}) as {
    kind?: unknown;
    metadata?: { name?: unknown };
    spec?: { type?: unknown };
  };
  if (typeof kind !== "string" || !KINDS.has(kind)) return [];
  return [{ kind, name: textOr(metadata?.name, ""), type: textOr(spec?.type, ""), file, document }];
}

function textOr(value: unknown, fallback: string): string {
  return typeof value === "string" ? value : fallback;
}
