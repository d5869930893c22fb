import { visible } from "../../core/go-json.ts";
import type { BulkEntry, Reception } from "../../pubsub/ports.ts";
import { fieldOf, objectOf } from "./json-fields.ts";

/** What an app's answer over HTTP says about the events that it was handed (A8). */

/** An app's answer, read to its end. */
export interface EventAnswer {
  readonly status: number;
  /** Undefined where it was too large to be read. */
  readonly body: Uint8Array | undefined;
}

const SUCCESS: Reception = { kind: "success" };

export function again(why: string): Reception {
  return { kind: "retry", why, code: undefined };
}

/** The app is not there, or not able to take it now. */
export function unreached(why: string): Reception {
  return { kind: "unreached", why, code: undefined, isGone: false };
}

/** The app's will. */
function dropped(why: string): Reception {
  return { kind: "drop", why, isDeadLetter: true, level: "warn", code: undefined };
}

export function receptionOf(answer: EventAnswer): Reception {
  if (!isSuccess(answer)) return refusal(answer, { isDeadLetter: true });
  const said = objectOf(parsed(answer.body));
  const status = said === undefined ? undefined : fieldOf(said, "status");
  // What is no text is none, as in Go: the whole answer is then one that could not be read.
  return typeof status !== "string" || status === "" ? SUCCESS : receptionOfStatus(status);
}

/** @returns for each entry, by its place. @param onStranger told of ids that no entry has. */
export function bulkReceptionsOf(
  answer: EventAnswer,
  entries: readonly BulkEntry[],
  onStranger: (entryId: string) => void,
): readonly Reception[] {
  if (!isSuccess(answer)) {
    const refused = refusal(answer, { isDeadLetter: false });
    return entries.map(() => refused);
  }
  const statuses = statusesIn(answer.body);
  if (statuses === undefined) {
    const unreadable = again(
      `the app answered ${answer.status} without a list of statuses: ${beginningOf(answer.body)}`,
    );
    return entries.map(() => unreadable);
  }
  const known = new Set(entries.map(({ entryId }) => entryId));
  for (const entryId of statuses.keys()) {
    if (!known.has(entryId)) onStranger(entryId);
  }
  return entries.map(({ entryId }) => {
    const status = statuses.get(entryId);
    return status === undefined || status === ""
      ? again("the app's answer has no status for the event")
      : receptionOfStatus(status);
  });
}

/** By entryId. */
function statusesIn(body: Uint8Array | undefined): ReadonlyMap<string, string> | undefined {
  const said = objectOf(parsed(body));
  const list = said === undefined ? undefined : (fieldOf(said, "statuses") ?? []);
  if (!Array.isArray(list)) return undefined;
  const statuses = new Map<string, string>();
  for (const item of list as readonly unknown[]) {
    const entry = objectOf(item) ?? {};
    const [entryId, status] = [fieldOf(entry, "entryId"), fieldOf(entry, "status") ?? ""];
    if (typeof entryId === "string" && typeof status === "string") statuses.set(entryId, status);
  }
  return statuses;
}

function receptionOfStatus(status: string): Reception {
  switch (status) {
    case "SUCCESS":
      return SUCCESS;
    case "RETRY":
      return again("the app answered RETRY");
    case "DROP":
      return dropped("the app answered DROP");
    default:
      return again(`the app answered with a status that there is not: ${shortened(status)}`);
  }
}

function isSuccess({ status }: EventAnswer): boolean {
  return status >= 200 && status <= 299;
}

/** 404: nobody is there for the event, and trying again changes nothing. */
function refusal({ status, body }: EventAnswer, { isDeadLetter }: { readonly isDeadLetter: boolean }): Reception {
  const said = beginningOf(body);
  const why = said === "" ? `the app answered ${status}` : `the app answered ${status}: ${said}`;
  const code = { protocol: "http", code: status } as const;
  return status === 404 ? { kind: "drop", why, isDeadLetter, level: "error", code } : { kind: "retry", why, code };
}

/** Undefined for what is no JSON, too. */
function parsed(body: Uint8Array | undefined): unknown {
  if (body === undefined || body.length === 0) return undefined;
  try {
    return JSON.parse(Buffer.from(body).toString("utf8"));
  } catch {
    return undefined;
  }
}

const MAX_SHOWN_CHARS = 200;

/** For a log line. */
export function beginningOf(body: Uint8Array | undefined): string {
  return body === undefined
    ? ""
    : shortened(
        Buffer.from(body.subarray(0, 4 * MAX_SHOWN_CHARS))
          .toString("utf8")
          .trim(),
      );
}

function shortened(text: string): string {
  return visible(text.length > MAX_SHOWN_CHARS ? `${text.slice(0, MAX_SHOWN_CHARS)}…` : text);
}
