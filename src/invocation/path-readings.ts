import { decodeMethodPath, normaliseMethodPath } from "./method-path.ts";

/**
 * The paths that an app may take `wire` for. The first is what it decodes to, cleaned; all further ones are for apps that
 * do more than that with a path before they look at it, or less, or in another order. A call is let through only where
 * access rules allow each of them, so that no rule depends on what the app is written in.
 *
 * @param wire what the app is sent: percent-encoded, begins with `/`.
 * @returns undefined where it could be read in more ways than anybody writes by accident.
 * @throws {CallError} as {@link normaliseMethodPath} does.
 */
export function pathReadings(wire: string): readonly [string, ...string[]] | undefined {
  const { decoded } = normaliseMethodPath(wire, { preserve: true });
  if (decoded === wire && !AMBIGUOUS.test(decoded)) return [decoded];
  const encoded = closure([wire], STEPS_BEFORE_DECODING);
  const readings = encoded && closure([decoded, ...encoded.map(decodeMethodPath)], STEPS_AFTER_DECODING);
  return readings && [decoded, ...readings];
}

const AMBIGUOUS = /[;\\%]|[^ -~]|[. ](?:\/|$)/;
const MAX_READINGS = 64;

type Step = (path: string) => string;

/** `paths`, and all that `steps` make of them in any order; undefined where that is more than MAX_READINGS. */
function closure(paths: readonly string[], steps: readonly Step[]): string[] | undefined {
  const found = new Set(paths);
  // A set gives what is added while it is walked, too: each step is tried on what the others made.
  for (const path of found) {
    for (const step of steps) found.add(step(path));
    if (found.size > MAX_READINGS) return undefined;
  }
  return [...found];
}

/** Without empty segments and dots, as Go and POSIX clean a path. */
function cleaned(path: string): string {
  return cleanedOf(path, /^\.?$/, /^\.\.$/);
}

/** The same where an escaped dot is a dot already (URL Standard, "double-dot URL path segment"). */
function cleanedOfEscapedDots(path: string): string {
  return cleanedOf(path, /^(?:\.|%2e)?$/i, /^(?:\.|%2e){2}$/i);
}

/** The same where two dots take away an empty segment, too: the URL Standard, and RFC 3986 5.2.4. */
function cleanedWithEmptySegments(path: string): string {
  return cleanedOf(path, /^(?:\.|%2e)$/i, /^(?:\.|%2e){2}$/i);
}

function cleanedOf(path: string, here: RegExp, up: RegExp): string {
  const kept: string[] = [];
  for (const segment of path.slice(1).split("/")) {
    if (up.test(segment)) kept.pop();
    else if (!here.test(segment)) kept.push(segment);
  }
  return `/${kept.join("/")}`;
}

/** RFC 3986 3.3: servlets take `;` and what follows in a segment for parameters, and route without them. */
function withoutParameters(path: string): string {
  return path.replace(/;[^/]*/g, "");
}

/** Windows, and what follows the URL Standard, where a backslash is a slash. */
function withSlashesForBackslashes(path: string): string {
  return path.replaceAll("\\", "/");
}

/** Proxies and frameworks that decode a second time, as daprd itself did (A2, `%2561`). */
function decodedAgain(path: string): string {
  return path.replace(/(?:%[0-9A-Fa-f]{2})+/g, (escapes) => Buffer.from(escapes.replaceAll("%", ""), "hex").toString());
}

/** Unicode's NFKC, in which a fullwidth letter, slash or dot is the plain one. */
function inCompatibleForm(path: string): string {
  return path.normalize("NFKC");
}

/** Apps that route before they decode (Express, Spring, Go's RawPath): an escaped slash stays within its segment. */
function withEscapedSlashesKept(path: string): string {
  return path.replace(/%2f/gi, "%252F");
}

/** What parses a path for a URL once it has decoded it, and C, where a NUL ends a text. */
function withoutQuery(path: string): string {
  const end = path.search(/[?#\0]/);
  return end === -1 ? path : path.slice(0, end);
}

/** Windows, where a name ends before the dots and spaces at its end. Dots alone stay: they are for {@link cleaned}. */
function withoutTrailingDots(path: string): string {
  return endingSegments(path, ". ");
}

/** Windows again, where `.. ` has been taken for `..` and not for nothing. */
function withoutTrailingSpaces(path: string): string {
  return endingSegments(path, " ");
}

/** The path, no segment of which but `.` and `..` ends in one of `chars`. */
function endingSegments(path: string, chars: string): string {
  return path
    .split("/")
    .map((segment) => {
      if (segment === "." || segment === "..") return segment;
      let end = segment.length;
      while (end > 0 && chars.includes(segment.charAt(end - 1))) end--;
      return segment.slice(0, end);
    })
    .join("/");
}

const STEPS: readonly Step[] = [
  cleaned,
  cleanedOfEscapedDots,
  cleanedWithEmptySegments,
  withoutParameters,
  withSlashesForBackslashes,
];
const STEPS_BEFORE_DECODING: readonly Step[] = [...STEPS, withEscapedSlashesKept];
const STEPS_AFTER_DECODING: readonly Step[] = [
  ...STEPS,
  decodedAgain,
  inCompatibleForm,
  withoutQuery,
  withoutTrailingDots,
  withoutTrailingSpaces,
];
