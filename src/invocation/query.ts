import { CallError } from "../core/errors.ts";

// What a request line takes as it is (RFC 3986 3.4, and what everybody sends besides). Most queries are nothing else.
const PLAIN = /^[\x21\x22\x24-\x7e]*$/;

/**
 * The query as it can stand in a request line: bytes that cannot are escaped, which means the same to whoever reads it.
 * Over HTTP it comes so; in a message of gRPC it is a text like any other.
 *
 * @param raw bytes as latin1 code units, without the `?`.
 * @throws {CallError} InvalidArgument, for control characters: none is in a URL, as Go has it too.
 */
export function normaliseQuery(raw: string): string {
  if (PLAIN.test(raw)) return raw;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
  const at = raw.search(/[\x00-\x1f\x7f]/);
  if (at !== -1) {
    throw new CallError("InvalidArgument", `invalid query: it contains a control character at position ${at}`);
  }
  return raw.replace(/[^\x21\x22\x24-\x7e]/g, (byte) => {
    return `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
  });
}
