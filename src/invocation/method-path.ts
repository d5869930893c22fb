import { CallError } from "../core/errors.ts";
import { goQuote } from "../core/go-json.ts";

/**
 * The path of an invocation, normalised once, before any rule looks at it. daprd decodes, cleans and encodes again
 * (pkg/messaging/method/normalize.go); so does this, except that a literal `%` survives (design.md).
 */
export interface MethodPath {
  /** Decoded and cleaned, begins with `/`: what rules compare. */
  readonly decoded: string;
  /** What the app is sent. Percent-decoding it gives the bytes that `decoded` shows as UTF-8, unless the path is preserved. */
  readonly wire: string;
}

/**
 * @param raw the path as the caller wrote it, percent-encoded; begins with `/`.
 * @param options.preserve send the path exactly as written (`spec.invocation.preservePath`); rules still see the clean form.
 * @throws {CallError} InvalidArgument, for escapes that are not hex and for characters that no method may contain; of a
 *   preserved path in what cleaning takes away, too.
 */
export function normaliseMethodPath(raw: string, options: { readonly preserve: boolean }): MethodPath {
  // Most paths are: nothing to decode, to clean or to refuse.
  if (PLAIN.test(raw)) return { decoded: raw, wire: raw };
  const bytes = decodePercent(raw);
  const method = cleanPath(bytes);
  refuseForbidden(method);
  // A preserved path brings the app what cleaning takes away, too.
  if (options.preserve) refuseForbidden(bytes);
  const wire = options.preserve ? raw : encodePath(method);
  return { decoded: Buffer.from(method, "latin1").toString("utf8"), wire };
}

/**
 * The path as `raw` decodes, not cleaned: what an app sees of a preserved one.
 *
 * @throws {CallError} InvalidArgument, for escapes that are not hex.
 */
export function decodeMethodPath(raw: string): string {
  return Buffer.from(decodePercent(raw), "latin1").toString("utf8");
}

// Segments of what RFC 3986 allows in a path, none of them empty, `.` or `..`, and no slash at the end.
const PLAIN = /^(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9\-._~!$&'()*+,;=:@]+)+$/;

/** Bytes as latin1 code units, so that what is not UTF-8 survives too. */
function decodePercent(raw: string): string {
  if (!raw.includes("%")) return Buffer.from(raw, "utf8").toString("latin1");
  return Buffer.from(raw, "utf8")
    .toString("latin1")
    .replace(/%(.{0,2})/gs, (escape, hex: string) => {
      if (!/^[0-9A-Fa-f]{2}$/.test(hex)) {
        throw new CallError("InvalidArgument", `invalid method: invalid URL escape ${goQuote(escape)}`);
      }
      return String.fromCharCode(Number.parseInt(hex, 16));
    });
}

/** Go's path.Clean on a rooted path: no empty, `.` or `..` segments, no trailing slash. */
function cleanPath(path: string): string {
  const kept: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") kept.pop();
    else if (segment !== "" && segment !== ".") kept.push(segment);
  }
  return `/${kept.join("/")}`;
}

function refuseForbidden(path: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
  const at = path.search(/[#?\x00-\x1f\x7f]/);
  if (at === -1) return;
  const method = goQuote(Buffer.from(path.slice(1), "latin1").toString("utf8"));
  const what = /[#?\0]/.test(path[at] ?? "")
    ? "method contains forbidden character"
    : `method contains control character at position ${String(at - 1)}`;
  throw new CallError("InvalidArgument", `invalid method: ${what}: ${method}`);
}

/** Encodes every byte that RFC 3986 does not allow in a path, `%` included; what it allows stays, as Go leaves it. */
function encodePath(path: string): string {
  return path.replace(/[^A-Za-z0-9\-._~!$&'()*+,;=:@/]/g, (byte) => {
    return `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
  });
}
