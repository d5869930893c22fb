/** Go's QueryUnescape. A broken escape is kept as written. */
export function queryUnescaped(raw: string): string {
  try {
    return decodeURIComponent(raw.replaceAll("+", " "));
  } catch {
    return raw;
  }
}
