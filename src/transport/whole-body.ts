import { abortReason, type CallSignal } from "../core/call-signal.ts";
import { CallError } from "../core/errors.ts";
import type { Body } from "../core/message.ts";

/**
 * All of a body that is to become part of a message; nothing, where there is none.
 *
 * @param tooLong what it fails with over `maxBytes`: by default a {@link CallError}, ResourceExhausted.
 * @throws what the body breaks with, or the signal's reason; the body is destroyed then.
 */
export async function wholeBody(
  body: Body,
  maxBytes: number,
  signal: CallSignal,
  tooLong = (): Error => new CallError("ResourceExhausted", `the body has more than ${maxBytes} bytes`),
): Promise<Uint8Array> {
  if (body === undefined) return new Uint8Array();
  if (body instanceof Uint8Array) return body;
  const left = { handleEvent: () => void body.destroy(abortReason(signal)) };
  if (signal.aborted) left.handleEvent();
  else signal.addEventListener("abort", left);
  try {
    const pieces: Buffer[] = [];
    let bytes = 0;
    for await (const piece of body as AsyncIterable<Buffer>) {
      bytes += piece.length;
      // Leaving the loop gives up the stream.
      if (bytes > maxBytes) throw tooLong();
      pieces.push(piece);
    }
    return Buffer.concat(pieces);
  } finally {
    signal.removeEventListener("abort", left);
  }
}
