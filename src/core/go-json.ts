/**
 * JSON as Go's json.Marshal writes it, which is what Dapr's clients have always received: `<`, `>`, `&` and the two
 * line separators are escaped inside strings (A1).
 */
export function goJson(value: unknown): string {
  // Most strings are names: this is a tenth of the work.
  if (typeof value === "string" && PLAIN.test(value)) return `"${value}"`;
  return JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (char) => {
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

// ASCII without control characters, quotes, backslashes, and what is escaped below.
const PLAIN = /^[ !#-%'-;=?-[\]-~]*$/;

/** A string as Go's `%q` prints it: daprd quotes rejected method names this way. */
export function goQuote(text: string): string {
  let quoted = '"';
  for (const char of text) quoted += quoteChar(char);
  return `${quoted}"`;
}

/**
 * What somebody has written, within a text for people: as it is, but for what would not be seen or would begin a line,
 * which is escaped as in {@link goQuote}.
 */
export function visible(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (char) => {
    const code = char.codePointAt(0) ?? 0;
    const escaped = quoteChar(char);
    return escaped === char ? `\\u${code.toString(16).padStart(4, "0")}` : escaped;
  });
}

const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  "\u0007": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  '"': '\\"',
  "\\": "\\\\",
};

function quoteChar(char: string): string {
  const short = SHORT_ESCAPES[char];
  if (short !== undefined) return short;
  const code = char.codePointAt(0) ?? 0;
  return code < 0x20 || code === 0x7f ? `\\x${code.toString(16).padStart(2, "0")}` : char;
}
