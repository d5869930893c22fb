/**
 * A JSON text in the form in which two are compared: names in order, numbers as they were written, and the words of the
 * recording for what is another at every run. What is no JSON stays as it is.
 */
export function inExactForm(text: string): string {
  try {
    return JSON.stringify(JSON.parse(withNumbersAsText(text)), inWords);
  } catch {
    return text;
  }
}

// A string, whose digits are none of ours, or a number.
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;

function withNumbersAsText(text: string): string {
  return text.replace(TOKEN, (token) => (token.startsWith('"') ? token : `"<${token}>"`));
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
// RFC 3339.
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;
const TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/** The recording's words for what an event has by itself. */
export function inEventWords(value: string): string {
  if (UUID.test(value)) return "UUID";
  return TIME.test(value) ? "TIME" : value;
}

function inWords(_name: string, value: unknown): unknown {
  if (value === TRACEPARENT) return "TRACEPARENT";
  if (typeof value === "string") return inEventWords(value);
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
