import type { StatusCode } from "../../core/errors.ts";

/**
 * The lean peer hop: an invocation between two Outriggers is an ordinary HTTP/1.1 request on the internal port, with
 * the path, query, headers and body that the app will get, and these headers beside them.
 *
 * The daprd-compatible form (gRPC, A5) will share the port; HTTP/2's preface tells them apart.
 */

/** The qualified name of the app the call is for. A port can pass to another process; this makes the mix-up harmless. */
export const TARGET_HEADER = "outrigger-target";

/** In an answer: the receiver could not serve the call. The value is a status code; the body is the message. */
export const ERROR_HEADER = "outrigger-error";

/** In an answer: this is not the sidecar of that app. */
export const NOT_THIS_APP = "not-this-app";

const CODES: ReadonlySet<string> = new Set<StatusCode>([
  "InvalidArgument",
  "PermissionDenied",
  "ResourceExhausted",
  "Internal",
  "Unavailable",
]);

export function parseStatusCode(text: string): StatusCode {
  return CODES.has(text) ? (text as StatusCode) : "Internal";
}
