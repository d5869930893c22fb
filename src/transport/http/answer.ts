import type { RawHeaders } from "../../core/raw-headers.ts";
import type { HttpExchange } from "./http-exchange.ts";

/** A short answer of Outrigger's own. `extra` are further headers, in a flat list. */
export function answer(
  exchange: HttpExchange,
  status: number,
  content: { readonly type: string; readonly text: string } | undefined,
  extra: readonly string[] = [],
): void {
  const headers: RawHeaders = content === undefined ? [] : ["Content-Type", content.type];
  headers.push(...extra);
  const body = content === undefined ? undefined : Buffer.from(content.text);
  exchange.answer({ status, statusText: "", headers, body });
}
