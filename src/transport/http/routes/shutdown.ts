import { headerValue } from "../../../core/raw-headers.ts";
import { answer } from "../answer.ts";
import type { ApiRequest } from "../api-request.ts";

export type Shutdown = (mode: "graceful" | "forced") => void;

/** Answers, then ends this sidecar and its app (A9). */
export function shutdown(stop: Shutdown, request: ApiRequest): void {
  answer(request.exchange, 204, undefined, request.traceHeaders);
  stop(isForced(request.headers) ? "forced" : "graceful");
}

/** @param headers or metadata of whoever asks to shut down. */
export function isForced(headers: readonly string[]): boolean {
  return headerValue(headers, "dapr-force-shutdown")?.toLowerCase() === "true";
}
