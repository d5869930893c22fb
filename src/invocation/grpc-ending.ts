import type { CallSignal } from "../core/call-signal.ts";
import { messageOf } from "../core/errors.ts";
import { codeOfStatusText, GRPC_CODE, grpcCodeIn } from "../core/grpc-code.ts";
import type { ResponseMessage } from "../core/message.ts";
import { headerValue } from "../core/raw-headers.ts";

/**
 * Tells, once, how a call of gRPC has ended, which is known when its body has come to an end.
 *
 * @param ended told the code, and what went wrong where it was not the app that said so.
 */
export function whenEnded(
  { body, trailers }: ResponseMessage,
  signal: CallSignal,
  ended: (code: number, error: string | undefined) => void,
): void {
  const complete = (): void => {
    ended(codeOfStatusText(headerValue(trailers?.() ?? [], "grpc-status") ?? ""), undefined);
  };
  if (body === undefined || body instanceof Uint8Array) {
    complete();
    return;
  }
  const closed = (): void => {
    const error: unknown = body.errored ?? signal.reason;
    if (body.readableEnded) complete();
    else if (error === undefined) ended(GRPC_CODE.CANCELLED, "the answer was given up");
    else ended(codeOfBroken(error, signal), messageOf(error));
  };
  if (body.closed) closed();
  else body.once("close", closed);
}

/** A call whose connection is lost has no status of its own. */
function codeOfBroken(error: unknown, signal: CallSignal): number {
  return grpcCodeIn(error) ?? (signal.aborted ? GRPC_CODE.CANCELLED : GRPC_CODE.UNAVAILABLE);
}
