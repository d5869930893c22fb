import { CallError } from "../core/errors.ts";
import { InFlight } from "../core/in-flight.ts";
import { type Body, type RequestMessage, type ResponseMessage, withHeaders } from "../core/message.ts";
import type { ConcurrencyLimit } from "./concurrency-limit.ts";
import { responseHeadersFromApp } from "./forward-headers.ts";
import type { AppChannel, BodyLimit, ReceivedCall } from "./ports.ts";
import type { StartGate } from "./start-gate.ts";

export interface ReceiverParts {
  /** Undefined for a sidecar without an app. */
  readonly channel: AppChannel | undefined;
  readonly limit: ConcurrencyLimit;
  readonly gate: StartGate;
  readonly limitBody: BodyLimit;
}

/**
 * The callee side of an invocation. Whatever door a call comes through (peer port, a neighbour in this process, the
 * app calling itself), the app is reached from here and under the same rules.
 */
export class Receiver {
  readonly #parts: ReceiverParts;
  readonly #inFlight = new InFlight();

  constructor(parts: ReceiverParts) {
    this.#parts = parts;
  }

  /**
   * A call from another app.
   *
   * @throws {CallError} Internal, where there is no app or it did not answer; ResourceExhausted, where the body is over
   *   the limit.
   */
  async receive(call: ReceivedCall): Promise<ResponseMessage> {
    const { channel, limitBody } = this.#parts;
    if (channel === undefined) throw new CallError("Internal", "app channel is not initialized");
    return this.#deliver(channel, limitBody(call.request));
  }

  /**
   * A call of the app to itself: no access rules, as in daprd (A12).
   *
   * @throws {CallError} without a code where there is no app; Internal where it did not answer.
   */
  async receiveOwn(request: RequestMessage): Promise<ResponseMessage> {
    const { channel } = this.#parts;
    if (channel === undefined) {
      throw new CallError(undefined, "cannot invoke local endpoint: app channel not initialized");
    }
    return this.#deliver(channel, request);
  }

  /** Resolves once no call is being answered any more, bodies included. */
  async whenIdle(): Promise<void> {
    await this.#inFlight.whenIdle();
  }

  async #deliver(channel: AppChannel, request: RequestMessage): Promise<ResponseMessage> {
    const { gate, limit } = this.#parts;
    const ended = this.#inFlight.begin();
    let release: (() => void) | undefined;
    try {
      if (!gate.isOpen) await gate.pass(request.signal);
      release = await limit.acquire(request.signal);
      const response = await channel.call(request);
      whenConsumed(response.body, release, ended);
      return withHeaders(response, responseHeadersFromApp(response.headers));
    } catch (error) {
      release?.();
      ended();
      throw error;
    }
  }
}

/** The slot is held, and the call under way, until the answer has been read to its end (A4). */
function whenConsumed(body: Body, ...ends: readonly (() => void)[]): void {
  const end = (): void => {
    for (const each of ends) each();
  };
  if (body === undefined || body instanceof Uint8Array || body.closed) end();
  else body.once("close", end);
}
