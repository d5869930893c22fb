/**
 * A flat list `[name, value, name, value, …]`, as it came off the wire: order, case and repeats are kept, and nothing
 * is allocated per header. Bytes above 0x7F are held as latin1 code units.
 */
export type RawHeaders = string[];

/** The first value of `name` (give it in lower case), or undefined. */
export function headerValue(headers: readonly string[], name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) {
    if (isNamed(headers[i], name)) return headers[i + 1];
  }
  return undefined;
}

/** Every value of `name` (give it in lower case), in order. */
export function headerValues(headers: readonly string[], name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    if (isNamed(headers[i], name)) values.push(headers[i + 1] ?? "");
  }
  return values;
}

/** A copy without the headers that `drop` names, which it is asked in lower case. */
export function withoutHeaders(headers: readonly string[], drop: (lowerName: string) => boolean): RawHeaders {
  const kept: RawHeaders = [];
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? "";
    if (!drop(name.toLowerCase())) kept.push(name, headers[i + 1] ?? "");
  }
  return kept;
}

function isNamed(name: string | undefined, lowerName: string): boolean {
  return name?.length === lowerName.length && name.toLowerCase() === lowerName;
}

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Whether a header can have this name (RFC 9110 5.1). */
export function isHeaderName(text: string): boolean {
  return NAME.test(text);
}
