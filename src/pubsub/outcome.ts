import type { Verdict } from "../components/contract/pubsub.ts";
import { messageOf } from "../core/errors.ts";
import { GRPC_CODE, nameOfCode } from "../core/grpc-code.ts";
import { CircuitOpen } from "../resiliency/circuit-breaker.ts";
import { TimedOut } from "../resiliency/policy-runner.ts";
import type { ProcessStatus, Reception } from "./ports.ts";

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
  readonly isExpired: boolean;
  /** It failed at once and no policy says that it be tried again. */
  readonly isUnpolicedFailure: boolean;
}

const NOTHING_ASKED = {
  isDeadLetter: true,
  isExpired: false,
  status: undefined,
  tries: 0,
  isUnpolicedFailure: false,
} as const;

/** Of what is not delivered any more. @param at as the event says. */
export function expired(at: string): Outcome {
  return { ...NOTHING_ASKED, why: `it expired at ${at}`, level: "warn", otherwise: "done", isExpired: true };
}

/** Of what else the app was not asked about. */
export function unasked(why: string, level: Outcome["level"], otherwise: Verdict): Outcome {
  return { ...NOTHING_ASKED, why, level, otherwise };
}

export function outcomeOf(
  reception: Exclude<Reception, { readonly kind: "success" }>,
  { tries, status, isPoliced }: Attempted,
): Outcome {
  const { kind, why } = reception;
  if (kind === "drop") {
    const { level, isDeadLetter } = reception;
    return { ...NOTHING_ASKED, why, level, otherwise: "done", isDeadLetter, status, tries };
  }
  const failed = { why, status, tries, isDeadLetter: kind === "retry", isUnpolicedFailure: !isPoliced };
  return { ...NOTHING_ASKED, ...failed, level: "warn", otherwise: "again" };
}

/** The status of a hand-out whose last try ended so. @param before of the try before it. */
export function statusOf(reception: Reception, before: string | undefined): string | undefined {
  if (reception.kind === "unreached") return before;
  const code = reception.kind === "success" ? undefined : reception.code;
  if (code === undefined) return reception.kind.toUpperCase();
  return code.protocol === "http" ? `${code.code}` : nameOfCode(code.code);
}

/** A further try may change it. */
export type Pending = Reception & { readonly kind: "retry" | "unreached" };

export function isPending(reception: Reception): reception is Pending {
  return reception.kind === "retry" || (reception.kind === "unreached" && !reception.isGone);
}

export function processStatusOf({ kind }: Reception): ProcessStatus {
  return kind === "unreached" ? "retry" : kind;
}

/** What a try that threw comes to. A circuit breaker that is open lets nothing get to the app. */
export function receptionOfError(error: unknown): Pending {
  const why = messageOf(error);
  return error instanceof CircuitOpen
    ? { kind: "unreached", why, code: undefined, isGone: false }
    : { kind: "retry", why, code: undefined };
}

/**
 * What several tries come to: an event that has failed once where it was to go has failed, though later ones did not get
 * there. One that kills its app would otherwise never be given up.
 *
 * @param last of the last try.
 * @param failed of an earlier one that got there.
 */
export function afterAll(last: Reception, failed: Reception | undefined): Reception {
  return last.kind === "unreached" && failed !== undefined ? failed : last;
}

/** The same where it threw. */
export function statusOfError(error: unknown, before: string | undefined): string | undefined {
  return error instanceof TimedOut ? nameOfCode(GRPC_CODE.DEADLINE_EXCEEDED) : before;
}
