import { messageOf, OutriggerError } from "../../core/errors.ts";
import { goJson } from "../../core/go-json.ts";
import type { Logger } from "../../core/logger.ts";
import { answer } from "./answer.ts";
import type { HttpExchange } from "./http-exchange.ts";

/** The one place where errors become HTTP: Dapr's `{"errorCode","message"}` (A1). */

/** Answers with what `error` says, unless the client has gone or an answer has already begun, which is cut off instead. */
export function answerError(exchange: HttpExchange, error: unknown, extra: readonly string[], log: Logger): void {
  if (exchange.signal.aborted) return;
  if (!exchange.isAnswerable) {
    exchange.cut();
    return;
  }
  const known = error instanceof OutriggerError ? error : unexpected(error, log);
  const text = goJson({ errorCode: known.errorCode, message: known.message });
  answer(exchange, known.httpStatus, { type: "application/json", text }, extra);
}

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
