import { decodeMethodPath, normaliseMethodPath } from "./method-path.ts";

/**
 * The paths that an app may take `wire` for. The first is what it decodes to, cleaned; all further ones are for apps that
 * do more than that with a path before they look at it, or less. A call is let through only where access rules allow each
 * of them, so that no rule depends on what the app is written in.
 *
 * @param wire what the app is sent: percent-encoded, begins with `/`.
 * @returns undefined where it could be read in more ways than anybody writes by accident.
 * @throws {CallError} as {@link normaliseMethodPath} does.
 */
export function pathReadings(wire: string): readonly [string, ...string[]] | undefined {
  const { decoded } = normaliseMethodPath(wire, { preserve: true });
  if (decoded === wire && !AMBIGUOUS.test(decoded)) return [decoded];
  const readings = new Set([decoded, decodeMethodPath(wire)]);
  // A set gives what is added while it is walked, too: each step is tried on what the others made.
  for (const reading of readings) {
    for (const step of STEPS) readings.add(step(reading));
    if (readings.size > MAX_READINGS) return undefined;
  }
  return [decoded, ...readings];
}

const AMBIGUOUS = /[;\\%]|[^ -~]/;
const MAX_READINGS = 64;

/** What apps and the frameworks under them do to a decoded path. */
const STEPS: readonly ((path: string) => string)[] = [
  cleaned,
  decodedAgain,
  withSlashesForBackslashes,
  withoutParameters,
  inCompatibleForm,
];

function cleaned(path: string): string {
  const kept: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") kept.pop();
    else if (segment !== "" && segment !== ".") kept.push(segment);
  }
  return `/${kept.join("/")}`;
}

/** Proxies and frameworks that decode a second time, as daprd itself did (A2, `%2561`). */
function decodedAgain(path: string): string {
  if (!path.includes("%")) return path;
  return path.replace(/(?:%[0-9A-Fa-f]{2})+/g, (escapes) => Buffer.from(escapes.replaceAll("%", ""), "hex").toString());
}

/** Windows, and what follows the URL Standard, where a backslash is a slash. */
function withSlashesForBackslashes(path: string): string {
  return path.replaceAll("\\", "/");
}

/** RFC 3986 3.3: servlets take `;` and what follows in a segment for parameters, and route without them. */
function withoutParameters(path: string): string {
  return path.replace(/;[^/]*/g, "");
}

/** Unicode's NFKC, in which a fullwidth letter, slash or dot is the plain one. */
function inCompatibleForm(path: string): string {
  return path.normalize("NFKC");
}
