import type { AppIdentity } from "../core/app-id.ts";
import type { CallObserver, CallRecord } from "../core/call-observer.ts";
import { GRPC_CODE, nameOfCode } from "../core/grpc-code.ts";
import { timeOf } from "./log.ts";

export interface CallStoryOptions {
  readonly colour: boolean;
  /** Lines begin with the date, too: those that are kept. */
  readonly dated: boolean;
  /** Takes one finished line, newline included. */
  write(line: string): void;
}

/** Tells every call in a line, for people at a terminal: who called whom, what came of it, and in which trace. */
export class CallStory implements CallObserver {
  readonly #options: CallStoryOptions;

  constructor(options: CallStoryOptions) {
    this.#options = options;
  }

  callEnded(call: CallRecord): void {
    const { direction, caller, target, path, durationMs, traceId, error } = call;
    const who = direction === "sent" ? `${nameOf(caller)} → ${target}` : `${target} ← ${nameOf(caller)}`;
    const parts = [
      this.#paint(90, timeOf(Date.now(), this.#options.dated)),
      this.#paint(1, printable(who)),
      `${verbOf(call)} ${printable(path)}`,
      this.#outcome(call),
      `${durationMs.toFixed(1)} ms`,
      traceId === undefined ? this.#paint(90, "no trace") : `trace ${traceId}`,
      ...(error === undefined ? [] : [this.#paint(31, printable(error))]),
    ];
    this.#options.write(`${parts.join("  ")}\n`);
  }

  #outcome({ status, grpcStatus }: CallRecord): string {
    if (grpcStatus === undefined) return this.#paint(colourOf(status), String(status));
    return this.#paint(grpcStatus === GRPC_CODE.OK ? 32 : 31, nameOfCode(grpcStatus));
  }

  #paint(ansi: number, text: string): string {
    return this.#options.colour ? `\x1b[${ansi}m${text}\x1b[0m` : text;
  }
}

function nameOf(app: AppIdentity | undefined): string {
  return app?.id ?? "somebody";
}

/** A call of gRPC has no verb of its own. */
function verbOf({ method, grpcStatus }: CallRecord): string {
  return grpcStatus === undefined ? method : "gRPC";
}

function colourOf(status: number): number {
  if (status >= 500) return 31;
  return status >= 400 ? 33 : 32;
}

/** Names, paths and what errors quote of them come from outside, and a terminal obeys control characters. */
function printable(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?");
}
