import { readFileSync } from "node:fs";

/** Outrigger's own version, from the package it was installed with. */
export function outriggerVersion(): string {
  const manifest = new URL("../../package.json", import.meta.url);
  return (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;
}

/** The Dapr release whose wire is spoken; SDKs compare it with the versions they know (A9). */
export const DAPR_WIRE_VERSION = "1.18.1";
