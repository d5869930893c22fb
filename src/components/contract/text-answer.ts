import type { ResponseMessage } from "../../core/message.ts";
import type { RawHeaders } from "../../core/raw-headers.ts";

/** A short answer of a middleware's own, as components-contrib's `RespondWithErrorAndMessage` writes it. */
export function textAnswer(status: number, text: string, headers: RawHeaders = []): ResponseMessage {
  return {
    status,
    statusText: "",
    headers: ["Content-Type", "text/plain; charset=utf-8", ...headers],
    body: Buffer.from(text),
  };
}
