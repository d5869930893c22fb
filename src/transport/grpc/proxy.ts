import { discard } from "../../core/body.ts";
import { type AbortListener, abortReason, type CallSignal } from "../../core/call-signal.ts";
import type { Logger } from "../../core/logger.ts";
import type { ResponseMessage } from "../../core/message.ts";
import { headerValue } from "../../core/raw-headers.ts";
import type { Invoker } from "../../invocation/invoker.ts";
import { statusOfProxied } from "./error-status.ts";
import { FirstMessageBody } from "./first-message-body.ts";
import type { GrpcCall } from "./grpc-call.ts";
import { relayAnswer } from "./relay-answer.ts";
import type { GrpcRequest } from "./service.ts";
import { GrpcError, grpcError } from "./status.ts";

export interface GrpcProxyParts {
  readonly invoker: Pick<Invoker, "invoke">;
  /** `--max-body-size`. */
  readonly maxMessageBytes: number;
  readonly log: Logger;
}

/** Calls of any service that is not Outrigger's own: they go to the app that their metadata names, undecoded (A5). */
export class GrpcProxy {
  readonly #parts: GrpcProxyParts;

  constructor(parts: GrpcProxyParts) {
    this.#parts = parts;
  }

  /** @throws what the caller is to be told where the app gave no answer. */
  async handle({ call, metadata, trace, span }: GrpcRequest): Promise<void> {
    const { invoker, log, maxMessageBytes } = this.#parts;
    const target = targetOf(call);
    refuseOtherPaths(call.path);
    const invocation = {
      target,
      rawPath: call.path,
      methodMissing: false,
      method: "POST",
      query: undefined,
      headers: metadata,
      trace,
      body: undefined,
      contentLength: undefined,
      signal: call.signal,
      grpc: true,
      repeatable: new FirstMessageBody(call.body, maxMessageBytes),
      ...(span === undefined ? {} : { span }),
    } as const;
    const { deadline } = call;
    try {
      const answering = invoker.invoke(deadline === undefined ? invocation : { ...invocation, deadline });
      relayAnswer(call, await inTime(answering, call.signal));
    } catch (error) {
      throw new GrpcError(statusOfProxied(call, error, log), { cause: error });
    }
  }
}

/** The app that a call is for. Undefined where it names none. */
export function appNamedIn(metadata: readonly string[]): string | undefined {
  const named = headerValue(metadata, "dapr-callee-app-id") ?? headerValue(metadata, "dapr-app-id");
  return named === "" ? undefined : named;
}

function targetOf({ metadata }: GrpcCall): string {
  const named = appNamedIn(metadata);
  if (named === undefined) {
    throw grpcError("UNKNOWN", "cannot proxy request: missing dapr-callee-app-id or dapr-app-id metadata");
  }
  return named;
}

// Names of services and methods have none of what apps read in different ways, and what is compared is what is sent.
const PATH = /^\/[^/?#%\\;]+\/[^/?#%\\;]+$/;
const DOTS = /\/\.{1,2}(?:\/|$)/;

/** As grpc-go answers what is no `/service/method`. */
export function refuseOtherPaths(path: string): void {
  if (PATH.test(path) && !DOTS.test(path)) return;
  throw grpcError(
    "UNIMPLEMENTED",
    `malformed method name: ${JSON.stringify(path)}; it has to be /package.Service/Method`,
  );
}

/** Whatever takes long behind it, a caller whose time is up is told so then. */
async function inTime(answering: Promise<ResponseMessage>, signal: CallSignal): Promise<ResponseMessage> {
  const late = new Late(signal);
  try {
    return await Promise.race([answering, late.happens]);
  } finally {
    signal.removeEventListener("abort", late);
    if (signal.aborted) {
      answering.then(
        ({ body }) => {
          discard(body);
        },
        () => undefined,
      );
    }
  }
}

class Late implements AbortListener {
  readonly happens: Promise<never>;
  readonly #signal: CallSignal;
  #reject!: (reason: Error) => void;

  constructor(signal: CallSignal) {
    this.#signal = signal;
    this.happens = new Promise((_, reject) => {
      this.#reject = reject;
    });
    // It may be lost against the answer.
    this.happens.catch(() => undefined);
    if (signal.aborted) this.handleEvent();
    else signal.addEventListener("abort", this);
  }

  handleEvent(): void {
    this.#reject(abortReason(this.#signal));
  }
}
