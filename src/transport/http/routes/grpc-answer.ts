import { GRPC_CODE } from "../../../core/grpc-code.ts";
import type { ResponseMessage } from "../../../core/message.ts";
import { type RawHeaders, withoutHeaders } from "../../../core/raw-headers.ts";
import { statusOfTrailers } from "../../grpc/answer-status.ts";
import { encodeMessage, type GrpcStatus } from "../../grpc/status.ts";
import type { HttpAnswer } from "../http-exchange.ts";

// Clients take 8 to 16 KiB of headers in all; the body has the whole text.
const MAX_MESSAGE_HEADER_CHARS = 2048;

/**
 * What a gRPC app has answered, over HTTP: its message, or of an error the status in `grpc-status`, `grpc-message` and as
 * JSON (seed 000). The HTTP status is the response's.
 */
export async function answerOfGrpcApp({ trailers, ...response }: ResponseMessage): Promise<HttpAnswer> {
  const status = statusOfTrailers(trailers?.() ?? []);
  // Bytes mean something to gRPC only, as in the other direction (A4).
  const headers = withoutHeaders(response.headers, (name) => name.endsWith("-bin"));
  if (status.code === GRPC_CODE.OK) return { ...response, headers };
  const body = Buffer.from(JSON.stringify(await statusJson(status)));
  return { ...response, headers: errorHeaders(headers, status), body };
}

function errorHeaders(headers: RawHeaders, { code, message }: GrpcStatus): RawHeaders {
  // The length of a body that was not this one is left out, too.
  const kept = withoutHeaders(headers, (name) => name === "content-type" || name === "content-length");
  kept.push("Content-Type", "application/json", "Grpc-Status", String(code));
  if (message !== "") kept.push("Grpc-Message", beginningOf(encodeMessage(message)));
  return kept;
}

/** Not cut within an escape. */
function beginningOf(encoded: string): string {
  return encoded.slice(0, MAX_MESSAGE_HEADER_CHARS).replace(/%[0-9A-F]?$/, "");
}

/** As protobuf's JSON of a google.rpc.Status, as far as the types of its details are known. */
async function statusJson({ code, message, details }: GrpcStatus): Promise<unknown> {
  if (details === undefined) return { code, message };
  // Generated code is dear, and few errors have any.
  const { detailsJson } = await import("../../grpc/details-json.ts");
  const known = detailsJson(details);
  return known.length === 0 ? { code, message } : { code, message, details: known };
}
