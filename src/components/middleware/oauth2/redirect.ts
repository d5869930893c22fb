import type { ResponseMessage } from "../../../core/message.ts";
import type { RawHeaders } from "../../../core/raw-headers.ts";

/** @param location absolute, or the path of a page of the same server. @param more `set-cookie` and the like. */
export function redirectTo(location: string, more: RawHeaders): ResponseMessage {
  // What is in it is for this browser alone.
  const headers = ["location", location, "cache-control", "no-store", "content-length", "0", ...more];
  return { status: 302, statusText: "", headers, body: undefined };
}
