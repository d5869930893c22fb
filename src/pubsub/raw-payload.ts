import { flagIn } from "./flag.ts";

/**
 * Whether what is published, or subscribed to, is bytes that are no CloudEvent (A7, A8).
 *
 * @throws {Error} in daprd's words, where the metadata does not say clearly.
 */
export function isRawPayload(metadata: ReadonlyMap<string, string>): boolean {
  return flagIn(metadata, "rawPayload");
}
