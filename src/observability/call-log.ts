import type { CallObserver, CallRecord } from "../core/call-observer.ts";
import type { Logger } from "../core/logger.ts";

/** Every call as a log record with fields: the story of calls for machines. */
export class CallLog implements CallObserver {
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  callEnded(call: CallRecord): void {
    const { direction, caller, target, method, path, status, grpcStatus, durationMs, traceId, error } = call;
    const fields = { caller: caller?.id, target, method, path, status, durationMs, traceId, error };
    this.#log.info(`call ${direction}`, grpcStatus === undefined ? fields : { ...fields, grpcStatus });
  }
}
