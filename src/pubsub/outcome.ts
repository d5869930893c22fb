import type { Verdict } from "../components/contract/pubsub.ts";
import { messageOf } from "../core/errors.ts";
import { GRPC_CODE, nameOfCode } from "../core/grpc-code.ts";
import { TimedOut } from "../resiliency/policy-runner.ts";
import type { Reception } from "./ports.ts";

/** What became of an event at the app, after all tries of this hand-out. */
export interface Attempted {
  readonly reception: Reception;
  /** How often the app was asked. */
  readonly tries: number;
  /** How it answered last: `500`, `UNAVAILABLE`, `RETRY`; undefined where it did not. */
  readonly status: string | undefined;
  readonly isPoliced: boolean;
}

/** Why the app has not got an event, or not taken it. */
export interface Outcome {
  readonly why: string;
  readonly level: "warn" | "error";
  /** Where it is no dead letter. */
  readonly otherwise: Verdict;
  readonly isDeadLetter: boolean;
  readonly status: string | undefined;
  readonly tries: number;
  /** It failed at once and no policy says that it be tried again. */
  readonly isUnpolicedFailure: boolean;
}

/** Of what the app was not asked about. */
export function unasked(why: string, level: Outcome["level"], otherwise: Verdict): Outcome {
  return { why, level, otherwise, isDeadLetter: true, status: undefined, tries: 0, isUnpolicedFailure: false };
}

export function outcomeOf(
  reception: Exclude<Reception, { readonly kind: "success" }>,
  { tries, status, isPoliced }: Attempted,
): Outcome {
  const { kind, why } = reception;
  if (kind === "drop") {
    const { level, isDeadLetter } = reception;
    return { why, level, otherwise: "done", isDeadLetter, status, tries, isUnpolicedFailure: false };
  }
  const isDeadLetter = reception.isPostponed !== true;
  return { why, level: "warn", otherwise: "again", isDeadLetter, status, tries, isUnpolicedFailure: !isPoliced };
}

export function statusOf(reception: Reception): string {
  const code = reception.kind === "success" ? undefined : reception.code;
  if (code === undefined) return reception.kind.toUpperCase();
  return code.protocol === "http" ? `${code.code}` : nameOfCode(code.code);
}

/** What a try that threw comes to. */
export function receptionOfError(error: unknown): Reception & { readonly kind: "retry" } {
  return { kind: "retry", why: messageOf(error), code: undefined };
}

/** The status of a hand-out whose last try threw. @param before of the try before it. */
export function statusOfError(error: unknown, before: string | undefined): string | undefined {
  return error instanceof TimedOut ? nameOfCode(GRPC_CODE.DEADLINE_EXCEEDED) : before;
}
