import { CallError } from "../core/errors.ts";
import { pathReadings } from "./path-readings.ts";

// What a sidecar says to its own app: `AppCallback` and what is named after it. Upper case, for some frameworks route so.
const OF_THE_SIDECAR = "/DAPR.PROTO.RUNTIME.V1.APPCALLBACK";

// No reading of any other path could be one: cleaning joins nothing within a segment.
const SUSPECT = /appcallback|[%;\\]|[^!-~]/i;

/**
 * Refuses a call to what an app has for its own sidecar alone. Whoever could say it in the sidecar's place would call any
 * method there is, past the access rules of each, and deliver events that nobody has published.
 *
 * @param path what the app would be sent.
 * @throws {CallError} PermissionDenied, where some app could take the path for such a method; as `pathReadings` does.
 */
export function refuseAppCallback(path: string): void {
  if (!SUSPECT.test(path) || !mayName(path)) return;
  const readings = pathReadings(path);
  if (readings?.some((reading) => reading.toUpperCase().startsWith(OF_THE_SIDECAR)) === false) return;
  throw new CallError(
    "PermissionDenied",
    `${path} is for the app's own sidecar alone; use InvokeService to call a method`,
  );
}

// Who escapes more often than this means nothing good.
const MAX_DECODINGS = 8;

/** Spares the calls that have an escape or an umlaut in their path, and mean nothing by it, the look at all its readings. */
function mayName(path: string): boolean {
  let decoded = path;
  for (let times = 0; times < MAX_DECODINGS; times++) {
    const before = decoded;
    decoded = decoded
      .replace(/(?:%[0-9A-Fa-f]{2})+/g, (escapes) => Buffer.from(escapes.replaceAll("%", ""), "hex").toString())
      .normalize("NFKC");
    if (decoded === before) return decoded.toUpperCase().includes("APPCALLBACK");
  }
  return true;
}
