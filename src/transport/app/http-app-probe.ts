import { Readable } from "node:stream";
import { abortReason, type CallSignal } from "../../core/call-signal.ts";
import { messageOf } from "../../core/errors.ts";
import type { Body, ResponseMessage } from "../../core/message.ts";
import type { AppChannel, AppProbe } from "../../invocation/ports.ts";

/** Asks an app over HTTP, by GET of a path: any 2xx says that it is well (A6). */
export class HttpAppProbe implements AppProbe {
  readonly #channel: AppChannel;
  readonly #target: string;

  /**
   * @param channel to the app, and no call's: a probe waits for no slot, and behind no connection that a call holds.
   * @param target path and query.
   */
  constructor(channel: AppChannel, target: string) {
    this.#channel = channel;
    this.#target = target;
  }

  async ask(signal: CallSignal): Promise<string | undefined> {
    try {
      const { status, body } = await this.#get(signal);
      discard(body);
      return status >= 200 && status < 300 ? undefined : `GET ${this.#target} was answered ${status}`;
    } catch (error) {
      if (signal.aborted) throw abortReason(signal);
      return `GET ${this.#target}: ${whatBroke(error)}`;
    }
  }

  #get(signal: CallSignal): Promise<ResponseMessage> {
    const [path = "", ...query] = this.#target.split("?");
    return this.#channel.call({
      method: "GET",
      path,
      query: query.length === 0 ? undefined : query.join("?"),
      headers: [],
      body: undefined,
      contentLength: undefined,
      signal,
    });
  }
}

/** Read to its end rather than cut off, which many servers log as an error. The signal ends one that is endless. */
function discard(body: Body): void {
  if (!(body instanceof Readable)) return;
  // It was the head that counted.
  body.on("error", () => undefined);
  body.resume();
}

/** Without the words around it that are for the caller of a call. */
function whatBroke(error: unknown): string {
  return error instanceof Error && error.cause instanceof Error ? error.cause.message : messageOf(error);
}
