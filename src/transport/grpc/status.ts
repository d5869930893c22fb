import { codeOfStatusText, GRPC_CODE, type GrpcCodeName } from "../../core/grpc-code.ts";
import type { RawHeaders } from "../../core/raw-headers.ts";
import { headerValue } from "../../core/raw-headers.ts";
import { decodeBinary, encodeBinary } from "./metadata.ts";

/** How a gRPC call ends, and how that is written in trailers (gRPC over HTTP/2, "Responses"). */

export interface GrpcStatus {
  readonly code: number;
  readonly message: string;
  /** A google.rpc.Status on the wire, with code and message once more; undefined where there are no details. */
  readonly details?: Uint8Array | undefined;
}

export const OK: GrpcStatus = { code: GRPC_CODE.OK, message: "" };

/** A call ends with a status that is not OK. */
export class GrpcError extends Error {
  override readonly name = "GrpcError";

  constructor(
    readonly status: GrpcStatus,
    options?: ErrorOptions,
  ) {
    super(status.message, options);
  }

  get grpcCode(): number {
    return this.status.code;
  }
}

export function grpcError(code: GrpcCodeName, message: string, options?: ErrorOptions): GrpcError {
  return new GrpcError({ code: GRPC_CODE[code], message }, options);
}

export function statusTrailers({ code, message, details }: GrpcStatus): RawHeaders {
  const trailers: RawHeaders = ["grpc-status", String(code)];
  if (message !== "") trailers.push("grpc-message", encodeMessage(message));
  if (details !== undefined) trailers.push("grpc-status-details-bin", encodeBinary(details));
  return trailers;
}

/** Undefined where there is none. A value that is no code is UNKNOWN, as gRPC asks for. */
export function statusIn(trailers: readonly string[]): GrpcStatus | undefined {
  const sent = headerValue(trailers, "grpc-status");
  if (sent === undefined) return undefined;
  const details = headerValue(trailers, "grpc-status-details-bin");
  return {
    code: codeOfStatusText(sent),
    message: decodeMessage(headerValue(trailers, "grpc-message") ?? ""),
    details: details === undefined ? undefined : decodeBinary(details),
  };
}

/** Percent-encoded UTF-8, everything but printable ASCII without `%`. */
export function encodeMessage(message: string): string {
  return Buffer.from(message)
    .toString("latin1")
    .replaceAll(
      /[^\x20-\x24\x26-\x7e]/g,
      (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
    );
}

/** What is no escape stands for itself. */
function decodeMessage(text: string): string {
  if (!text.includes("%")) return text;
  const bytes = text.replaceAll(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, "latin1").toString("utf8");
}
