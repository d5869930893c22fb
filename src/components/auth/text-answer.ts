import type { ResponseMessage } from "../../core/message.ts";
import type { RawHeaders } from "../../core/raw-headers.ts";

/** What a middleware answers in place of the app, in the words of components-contrib, which writes plain text. */
export function textAnswer(
  status: Status,
  text: string = STATUS_TEXTS[status],
  more: RawHeaders = [],
): ResponseMessage {
  const body = Buffer.from(text);
  const headers = ["content-type", "text/plain; charset=utf-8", "content-length", String(body.length), ...more];
  return { status, statusText: STATUS_TEXTS[status], headers, body };
}

/** @param location absolute, or the path of a page of the same server. @param more `set-cookie` and the like. */
export function redirectTo(location: string, more: RawHeaders = []): ResponseMessage {
  // What is in it is for this browser alone.
  const headers = ["location", location, "cache-control", "no-store", "content-length", "0", ...more];
  return { status: 302, statusText: "Found", headers, body: undefined };
}

type Status = keyof typeof STATUS_TEXTS;

const STATUS_TEXTS = { 400: "Bad Request", 401: "Unauthorized", 500: "Internal Server Error" } as const;
