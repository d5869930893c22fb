import type { RawHeaders } from "../../core/raw-headers.ts";
import { preparedMetadata } from "../../invocation/forward-headers.ts";

/** Metadata of gRPC: headers whose names are in lower case, and whose values are bytes where the name ends in `-bin`. */

/** Base64 as gRPC sends it: without padding. */
export function encodeBinary(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64").replace(/=+$/, "");
}

/** With and without padding. */
export function decodeBinary(text: string): Uint8Array {
  return Buffer.from(text, "base64");
}

/** About the call itself, whether a gRPC library shows it to its user or not. */
const RESERVED = /^(?::|grpc-|content-type$)/;

/** What a caller or an app has said of its own. */
export function customMetadata(headers: readonly string[]): RawHeaders {
  const custom: RawHeaders = [];
  const passed = preparedMetadata(headers);
  for (let i = 0; i < passed.length; i += 2) {
    const name = (passed[i] ?? "").toLowerCase();
    if (!RESERVED.test(name)) custom.push(name, passed[i + 1] ?? "");
  }
  return custom;
}
