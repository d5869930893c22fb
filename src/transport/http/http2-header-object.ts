import { validateHeaderName, validateHeaderValue } from "node:http";
import type { OutgoingHttpHeaders } from "node:http2";

/** Headers in the form in which Node's HTTP/2 takes them: one field for each name, in lower case. */

export function emptyHeaders(): OutgoingHttpHeaders {
  // `__proto__` is a header like any other.
  return Object.create(null) as OutgoingHttpHeaders;
}

/**
 * Adds one more, behind those of its name.
 *
 * @param name in lower case.
 * @throws {Error} where it cannot be written. A pseudo header cannot: `:` is in no name.
 */
export function addHeader(headers: OutgoingHttpHeaders, name: string, value: string): void {
  validateHeaderName(name);
  validateHeaderValue(name, value);
  const before = headers[name];
  if (before === undefined) headers[name] = value;
  else if (Array.isArray(before)) before.push(value);
  else headers[name] = [String(before), value];
}

/** Node writes some headers only once; repeats mean, by RFC 9110 5.2, the same as this. */
export function withoutRepeats(headers: OutgoingHttpHeaders): OutgoingHttpHeaders {
  const once = emptyHeaders();
  for (const [name, value] of Object.entries(headers)) {
    once[name] = Array.isArray(value) ? joined(name, value) : value;
  }
  return once;
}

function joined(name: string, values: string[]): string | string[] {
  // The one header that cannot be joined (RFC 9110 5.3), and the one that is joined in another way (RFC 9113 8.2.3).
  if (name === "set-cookie") return values;
  return values.join(name === "cookie" ? "; " : ", ");
}

/** True of what Node says where a header is repeated that it writes only once. */
export function isRefusedRepeat(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ERR_HTTP2_HEADER_SINGLE_VALUE";
}
