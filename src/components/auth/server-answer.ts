import { visible } from "../../core/go-json.ts";

/** What is asked of servers that give out tokens and keys: bounded, and told without what must not be told. */

export const SERVER_TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 1024 * 1024;

/** A server did not give what it was asked for. The message is for the log, and has no secret in it. */
export class ServerFailure extends Error {
  override readonly name = "ServerFailure";

  constructor(
    message: string,
    /** The server could not be asked or was in trouble itself: it may do better the next time, with the same settings. */
    readonly isPassing: boolean,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** @throws {ServerFailure} where there is more of it than any token or key set takes. */
export async function boundedText(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  // A type of Node's own says that it can be iterated; that of the web does not.
  const body = response.body as AsyncIterable<Uint8Array> | null;
  for await (const part of body ?? []) {
    bytes += part.byteLength;
    if (bytes > MAX_ANSWER_BYTES) throw new ServerFailure(`it answered more than ${MAX_ANSWER_BYTES} bytes`, false);
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

/** For a failure of `fetch`, or of reading what it gave. */
export function unreachable(cause: unknown, timeoutMs: number): ServerFailure {
  if (cause instanceof ServerFailure) return cause;
  if (cause instanceof DOMException && cause.name === "TimeoutError") {
    return new ServerFailure(`it gave no answer within ${timeoutMs / 1000} s`, true, { cause });
  }
  const code = codeIn(cause);
  return new ServerFailure(`it cannot be reached${code === undefined ? "" : ` (${code})`}`, true, { cause });
}

function codeIn(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as NodeJS.ErrnoException;
  return codeIn(error.cause) ?? (typeof code === "string" ? code : undefined);
}

/** Without a query, in which there may be keys. */
export function placeOf({ origin, pathname }: URL): string {
  return origin + pathname;
}

/** What a server says of an error, made fit for a log: short, and without any of `secrets`. */
export function quoted(said: string, secrets: readonly string[]): string {
  const clean = secrets.reduce((text, secret) => (secret === "" ? text : text.replaceAll(secret, "***")), said);
  return visible(clean.length > 200 ? `${clean.slice(0, 200)}…` : clean);
}
