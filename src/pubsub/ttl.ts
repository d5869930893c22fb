import { parseGoDuration } from "../core/go-duration.ts";

// What Go's time.Duration can hold, in milliseconds: 292 years.
const LONGEST_MS = 9_223_372_036_854;

/**
 * How long an event lives, in milliseconds: `ttl` or `ttlInSeconds`, in any case, as a duration of Go's or as a positive number of
 * seconds. Undefined where neither is there, or says neither: daprd ignores what it cannot read (observed/, "bad ttl").
 */
export function timeToLive(metadata: ReadonlyMap<string, string>): number | undefined {
  if (metadata.size === 0) return undefined;
  const value = withoutCase(metadata, "ttl") ?? withoutCase(metadata, "ttlinseconds") ?? "";
  const duration = parseGoDuration(value);
  if (duration !== undefined) return Math.min(Math.max(duration, 0), LONGEST_MS);
  if (!/^\+?\d{1,19}$/.test(value)) return undefined;
  return Math.min(Number(value) * 1000, LONGEST_MS);
}

function withoutCase(metadata: ReadonlyMap<string, string>, lowerName: string): string | undefined {
  for (const [name, value] of metadata) if (name.toLowerCase() === lowerName) return value;
  return undefined;
}
