import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { messageOf } from "../core/errors.ts";
import { yamlFilesIn } from "./resource-folder.ts";

/**
 * Says whether the resources of these folders are what they were: by what stands in their YAML files and by what these are
 * called. Whatever cannot be read counts too, so that it is noticed when it can be.
 */
export async function fingerprintOf(folders: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const folder of folders) {
    for (const part of await partsOf(folder)) hash.update(`${part.length} `).update(part);
  }
  return hash.digest("hex");
}

async function partsOf(folder: string): Promise<(string | Buffer)[]> {
  try {
    const files = yamlFilesIn(folder);
    return [folder, ...(await Promise.all(files.map(async (file) => [file, await contentOf(file)]))).flat()];
  } catch (error) {
    return [folder, messageOf(error)];
  }
}

async function contentOf(file: string): Promise<string | Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    return messageOf(error);
  }
}
