const PADDING = "=";

/**
 * What Go's `base64.StdEncoding` reads: padded, line breaks left out.
 *
 * @throws {Error} in Go's words for anything else.
 */
export function fromGoBase64(text: string): Uint8Array {
  // What is well-formed, which is nearly everything, is not gone through by hand.
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) {
    const place = firstFault(text);
    if (place !== undefined) throw new Error(`illegal base64 data at input byte ${place}`);
  }
  return Buffer.from(text, "base64");
}

/** The byte at which Go gives up; undefined where it does not. */
function firstFault(text: string): number | undefined {
  const bytes = Buffer.from(text).toString("latin1");
  let at = 0;
  for (;;) {
    const start = at;
    let digits = 0;
    for (; digits < 4; at++) {
      const char = bytes[at];
      if (char === undefined) return digits === 0 ? undefined : at - digits;
      if (isLineBreak(char)) continue;
      if (char === PADDING) return faultInPadding(bytes, at, digits);
      if (!/[A-Za-z0-9+/]/.test(char)) return at;
      digits++;
    }
    if (at === start) return undefined;
  }
}

/** @param digits how many stand before it in its group of four. */
function faultInPadding(bytes: string, at: number, digits: number): number | undefined {
  if (digits < 2) return at;
  let next = behindLineBreaks(bytes, at + 1);
  if (digits === 2) {
    if (next === bytes.length) return next;
    if (bytes[next] !== PADDING) return next - 1;
    next = behindLineBreaks(bytes, next + 1);
  }
  return next < bytes.length ? next : undefined;
}

function behindLineBreaks(bytes: string, from: number): number {
  let at = from;
  while (isLineBreak(bytes[at])) at++;
  return at;
}

function isLineBreak(char: string | undefined): boolean {
  return char === "\n" || char === "\r";
}
