import { ERROR_DOMAIN, messageOf, OutriggerError } from "../../core/errors.ts";
import { goJson } from "../../core/go-json.ts";
import type { Logger } from "../../core/logger.ts";
import { answer } from "./answer.ts";
import type { HttpExchange } from "./http-exchange.ts";

/** The one place where errors become HTTP: Dapr's `{"errorCode","message"[,"details"]}` (A1). */

/** Answers with what `error` says, unless the client has gone or an answer has already begun, which is cut off instead. */
export function answerError(exchange: HttpExchange, error: unknown, extra: readonly string[], log: Logger): void {
  if (exchange.signal.aborted) return;
  if (!exchange.isAnswerable) {
    exchange.cut();
    return;
  }
  const known = error instanceof OutriggerError ? error : unexpected(error, log);
  const text = goJson({ errorCode: known.errorCode, message: known.message, details: detailsOf(known) });
  answer(exchange, known.httpStatus, { type: "application/json", text }, extra);
}

/**
 * What google.rpc says of an error that has a reason, as protobuf's JSON and with keys in order, as daprd writes it; undefined
 * for others.
 */
function detailsOf({ message, reason, resource, infoMetadata }: OutriggerError): unknown[] | undefined {
  if (reason === undefined) return undefined;
  const metadata = Object.fromEntries(Object.entries(infoMetadata).sort(([a], [b]) => (a < b ? -1 : 1)));
  const info = { "@type": `${GOOGLE_RPC}ErrorInfo`, domain: ERROR_DOMAIN, metadata, reason };
  if (resource === undefined) return [info];
  const about = {
    "@type": `${GOOGLE_RPC}ResourceInfo`,
    description: message,
    owner: "",
    resource_name: resource.name,
    resource_type: resource.type,
  };
  return [about, info];
}

const GOOGLE_RPC = "type.googleapis.com/google.rpc.";

/** As Go's http.Error writes it: some of Dapr's answers are plain text (A1, observed/ "tokens"). */
export function answerPlainError(
  exchange: HttpExchange,
  status: number,
  message: string,
  extra: readonly string[],
): void {
  const content = { type: "text/plain; charset=utf-8", text: `${message}\n` };
  answer(exchange, status, content, ["X-Content-Type-Options", "nosniff", ...extra]);
}

function unexpected(error: unknown, log: Logger): OutriggerError {
  log.error("a request failed inside Outrigger", {
    error: messageOf(error),
    stack: error instanceof Error ? error.stack : undefined,
  });
  return new OutriggerError("internal", `Outrigger failed to handle this request: ${messageOf(error)}`);
}
