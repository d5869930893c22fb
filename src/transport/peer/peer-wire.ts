import { nothingWasSent } from "../../core/errors.ts";
import { STATUS_CODES, type StatusCode } from "../../core/grpc-code.ts";
import { headerValue, headerValues, type RawHeaders } from "../../core/raw-headers.ts";

/**
 * The lean peer hop: an invocation between two Outriggers is an ordinary HTTP/1.1 request on the internal port, with
 * the path, query, headers and body that the app will get, and these headers beside them.
 *
 * daprd's own form (gRPC, A5) shares the port; HTTP/2's preface tells them apart. There too, the target and who answers
 * are told by these headers, in the call's metadata: this is how two Outriggers find out that they are.
 */

/** The qualified name of the app the call is for. A port can pass to another process; this makes the mix-up harmless. */
export const TARGET_HEADER = "outrigger-target";

/**
 * Behind the name in {@link TARGET_HEADER}, from a caller that has nothing but an address: what answers there is to prove
 * that it is the sidecar of that app, with {@link PROOF_HEADER}. Any HTTP server answers something.
 */
export const ASKS_FOR_PROOF = "; prove";

/** Behind the name, too: the call has no verb, and POST stands in its place. Only callers that speak gRPC have such calls. */
export const HAS_NO_VERB = "; no-verb";

/** Behind that: there is a {@link DATA_TYPE_HEADER}, which is not looked for in any other call. */
export const HAS_DATA_TYPE = "; typed";

/**
 * The `type_url` of the Any that the body was packed into, where a caller or an app that speaks gRPC has said one; escaped as
 * a URI is. An answer that has it has {@link TRAILER_HEADER} too.
 */
export const DATA_TYPE_HEADER = "outrigger-data-type";

/** How long the caller still waits, as `grpc-timeout` says it; absent where it has set no deadline. */
export const TIMEOUT_HEADER = "outrigger-timeout";

/** In an answer of a gRPC app, once for each: `name: value` of a trailer. */
export const TRAILER_HEADER = "outrigger-trailer";

/** In an answer that was to be proved: the qualified name of the app it comes from. */
export const PROOF_HEADER = "outrigger-from";

/** In daprd's form, to an Outrigger: the path as the app is to get it, where that form would change it. */
export const PATH_HEADER = "outrigger-path";

/** In an answer: the receiver could not serve the call. The value is a status code; the body is the message. */
export const ERROR_HEADER = "outrigger-error";

/** Beside that: the app has got nothing of the request. */
export const UNSENT_HEADER = "outrigger-unsent";

/** Of a proxied call of gRPC, which daprd gives no `dapr-caller-namespace`: where the caller is from. */
export const CALLER_NAMESPACE_HEADER = "outrigger-caller-namespace";

/** In an answer: this is not the sidecar of that app. */
export const NOT_THIS_APP = "not-this-app";

export function unsentHeaders(error: unknown): RawHeaders {
  return nothingWasSent(error) ? [UNSENT_HEADER, "true"] : [];
}

/** As it stands in {@link DATA_TYPE_HEADER}. */
export function escapeDataType(dataType: string): string {
  return encodeURI(dataType);
}

export function readDataType(headers: readonly string[]): string | undefined {
  const written = headerValue(headers, DATA_TYPE_HEADER);
  try {
    return written === undefined ? undefined : decodeURI(written);
  } catch {
    // No Outrigger has written that.
    return written;
  }
}

export function writeTrailers(trailers: readonly string[]): RawHeaders {
  const headers: RawHeaders = [];
  for (let i = 0; i < trailers.length; i += 2)
    headers.push(TRAILER_HEADER, `${trailers[i] ?? ""}: ${trailers[i + 1] ?? ""}`);
  return headers;
}

export function readTrailers(headers: readonly string[]): RawHeaders {
  return headerValues(headers, TRAILER_HEADER).flatMap((line) => {
    const end = line.indexOf(":");
    // HTTP/1.1 takes the space from a header whose end it is.
    return end === -1 ? [] : [line.slice(0, end), line.slice(end + 1).trim()];
  });
}

export function parseStatusCode(text: string): StatusCode {
  return STATUS_CODES.find((code) => code === text) ?? "Internal";
}
