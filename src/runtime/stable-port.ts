import { createHash } from "node:crypto";
import { type AppIdentity, qualifiedName } from "../core/app-id.ts";

// daprd counts from 47300 (A6); the range ends below the ports Linux gives out by itself on most machines' upper half.
const FIRST = 47_300;
const COUNT = 2000;

/** The internal port an app prefers: derived from its name, so that firewalls and people meet the same one again. */
export function stableInternalPort(app: AppIdentity): number {
  const digest = createHash("sha256").update(qualifiedName(app)).digest();
  return FIRST + (digest.readUInt32BE(0) % COUNT);
}
