import { messageOf } from "../../core/errors.ts";
import { goRegExp } from "../../core/go-regexp.ts";
import { hasDotSegments } from "../../invocation/dot-segments.ts";
import { pathReadings } from "../../invocation/path-readings.ts";
import type { ComponentMetadata } from "../contract/component-metadata.ts";

/** `pathFilter`: which requests an OAuth middleware is for. Without it, all. */
export class PathFilter {
  readonly #pattern: RegExp | undefined;

  constructor(pattern: RegExp | undefined) {
    this.#pattern = pattern;
  }

  /**
   * True where the pattern finds something in the path, or in any other path that an app may take it for; also where the path
   * has dot segments, since those of a method do not end at `/v1.0/invoke/<app>/method`: no way of writing a path gets past a
   * login.
   *
   * @param path percent-encoded, without a query.
   */
  matches(path: string): boolean {
    const pattern = this.#pattern;
    if (pattern === undefined || pattern.test(path) || hasDotSegments(path)) return true;
    // Most are read in one way only.
    if (/^[\w\-/]*$/.test(path) && !path.includes("//")) return false;
    return readingsOf(path)?.some((reading) => pattern.test(reading)) ?? true;
  }
}

/** @throws {Error} where it is no regular expression. */
export function pathFilterField(metadata: ComponentMetadata): PathFilter {
  const source = metadata.get("pathFilter") ?? "";
  if (source === "") return new PathFilter(undefined);
  try {
    return new PathFilter(goRegExp(source));
  } catch (cause) {
    const what = `${metadata.placeOf("pathFilter")}: metadata field pathFilter is no regular expression`;
    throw new Error(`${what} (${messageOf(cause)}); write ^/api/.*`, { cause });
  }
}

/** Undefined where they cannot be told. */
function readingsOf(path: string): readonly string[] | undefined {
  try {
    return [decodeURIComponent(path), ...(pathReadings(path) ?? [])];
  } catch {
    return undefined;
  }
}
