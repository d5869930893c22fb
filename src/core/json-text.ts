/**
 * JSON as text: a value is taken apart without being read, so that every part stays as it was written, whatever the size
 * and the digits of its numbers (RFC 8259).
 */

/** By the names that Go's encoding/json has for them. */
export type JsonKind = "object" | "array" | "string" | "number" | "bool" | "null";

// Go's encoding/json, which reads what daprd passes on, refuses what is nested deeper.
const MAX_DEPTH = 10_000;

/** Whether `text` is one JSON value that Go reads too: nested no deeper than 10,000 levels. */
export function isJson(text: string): boolean {
  try {
    JSON.parse(text);
  } catch {
    return false;
  }
  return !isTooDeep(text);
}

/** Whether it is nested deeper than Go reads. @param text valid JSON. */
export function isTooDeep(text: string): boolean {
  // Anything shorter cannot be.
  return text.length > 2 * MAX_DEPTH && depthOf(text) > MAX_DEPTH;
}

/** @param text valid JSON, without white space before it. */
export function kindOfJson(text: string): JsonKind {
  switch (text[0]) {
    case "{":
      return "object";
    case "[":
      return "array";
    case '"':
      return "string";
    case "n":
      return "null";
    case "t":
    case "f":
      return "bool";
    default:
      return "number";
  }
}

/**
 * The texts of an object's members, by name, in the order in which names were first met. Of two with one name the last
 * counts.
 *
 * @param text a valid JSON object, without white space before it. Of anything else the result means nothing.
 */
export function jsonMembers(text: string): Map<string, string> {
  const members = new Map<string, string>();
  const cursor = new Cursor(text);
  while (cursor.next()) {
    const name = stringOf(cursor.value());
    cursor.next();
    members.set(name, cursor.value());
  }
  return members;
}

/** The texts of an array's elements. @param text a valid JSON array, without white space before it. */
export function jsonElements(text: string): string[] {
  const elements: string[] = [];
  const cursor = new Cursor(text);
  while (cursor.next()) elements.push(cursor.value());
  return elements;
}

/** What a JSON string says. @param text valid, without white space around it. */
export function stringOf(text: string): string {
  return text.includes("\\") ? (JSON.parse(text) as string) : text.slice(1, -1);
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPENING = new Set([0x5b, 0x7b]);
const CLOSING = new Set([0x5d, 0x7d]);
// White space, and what stands between the parts of an object or array.
const BETWEEN = new Set([0x20, 0x09, 0x0a, 0x0d, 0x2c, 0x3a]);

/** Goes through the parts of one object or array. It does not call itself: what comes from outside may be nested deeply. */
class Cursor {
  readonly #text: string;
  /** Behind the opening bracket. */
  #at = 1;

  constructor(text: string) {
    this.#text = text;
  }

  /** Goes on to the next part; false where there is none. */
  next(): boolean {
    let code = this.#text.charCodeAt(this.#at);
    while (BETWEEN.has(code)) code = this.#text.charCodeAt(++this.#at);
    return this.#at < this.#text.length && !CLOSING.has(code);
  }

  /** The part that begins here; goes behind it. */
  value(): string {
    const start = this.#at;
    this.#at = endOfValue(this.#text, start);
    return this.#text.slice(start, this.#at);
  }
}

function endOfValue(text: string, start: number): number {
  const first = text.charCodeAt(start);
  if (first === QUOTE) return endOfString(text, start);
  let at = start;
  if (!OPENING.has(first)) {
    for (; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (BETWEEN.has(code) || CLOSING.has(code)) break;
    }
    return at;
  }
  let depth = 0;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(text, at);
      continue;
    }
    at++;
    if (OPENING.has(code)) depth++;
    else if (CLOSING.has(code) && --depth === 0) break;
  }
  return at;
}

/** Behind the quote that ends the string which begins at `start`. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === BACKSLASH) slashes++;
    if (slashes % 2 === 0) return end + 1;
  }
  return text.length;
}

function depthOf(text: string): number {
  let deepest = 0;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at) - 1;
    else if (OPENING.has(code)) deepest = Math.max(deepest, ++depth);
    else if (CLOSING.has(code)) depth--;
  }
  return deepest;
}
