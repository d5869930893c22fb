import { readdirSync, statSync } from "node:fs";
import { extname, join } from "node:path";
import { nearestName } from "../core/nearest-name.ts";
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
export const RESOURCE_KINDS = ["Component", "Subscription", "HTTPEndpoint", "Resiliency", "InnerCallPolicy"] as const;
const OURS = /^(?:dapr\.io|outrigger\.dev)\//;

/**
 * What the YAML files of these folders define: of Dapr's and our own API groups whatever its kind, and what has a kind of
 * theirs and no group of somebody else's.
 *
 * @throws {ResourceError} for a folder that cannot be read and for a file that is not YAML.
 */
export function readResourceFolders(folders: readonly string[]): FoundResource[] {
  return folders.flatMap(yamlFilesIn).flatMap(readYamlFile).flatMap(toResource);
}

/**
 * The files that {@link readResourceFolders} reads, in its order: those in the folder itself, as daprd does.
 *
 * @throws {ResourceError} for a folder that cannot be read.
 */
export function yamlFilesIn(folder: string): string[] {
  try {
    if (!statSync(folder).isDirectory()) throw new Error("it is not a directory");
    const names = readdirSync(folder).filter(isYaml).sort();
    return names.map((name) => join(folder, name)).filter((path) => !isFolder(path));
  } catch (cause) {
    throw new ResourceError(`cannot read the resources path ${folder}: ${(cause as Error).message}`, { cause });
  }
}

/** `.#a.yaml` is Emacs' lock of a file that it edits, and leads nowhere. */
function isYaml(name: string): boolean {
  return [".yaml", ".yml"].includes(extname(name).toLowerCase()) && !name.startsWith(".#");
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function toResource(document: YamlDocument): FoundResource[] {
  const { file, value } = document;
  const { apiVersion, kind, metadata, spec } = (value ?? {}) as {
    apiVersion?: unknown;
    kind?: unknown;
    metadata?: { name?: unknown };
    spec?: { type?: unknown };
  };
  if (!isOurs(apiVersion, kind)) return [];
  return [{ kind: textOr(kind, ""), name: textOr(metadata?.name, ""), type: textOr(spec?.type, ""), file, document }];
}

function isOurs(apiVersion: unknown, kind: unknown): boolean {
  if (typeof apiVersion === "string" && OURS.test(apiVersion)) return true;
  if (!RESOURCE_KINDS.some((known) => known === kind)) return false;
  // KubeVela has a Component too; but `dapr.oi/v1alpha1` is a slip.
  const [group = "", version] = textOr(apiVersion, "").split("/");
  return version === undefined || nearestName(group, ["dapr.io", "outrigger.dev"]) !== undefined;
}

function textOr(value: unknown, fallback: string): string {
  return typeof value === "string" ? value : fallback;
}
