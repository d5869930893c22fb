/** Times as Go's `time.RFC3339` writes them, for people and clients that read daprd's. */

/** In the time zone of the process, whole seconds: `2026-11-21T23:16:06+08:00`, with `Z` where there is no offset. */
export function localRfc3339(msSinceEpoch: number): string {
  const offsetMinutes = -new Date(msSinceEpoch).getTimezoneOffset();
  const local = new Date(msSinceEpoch + offsetMinutes * 60_000).toISOString().slice(0, 19);
  if (offsetMinutes === 0) return `${local}Z`;
  const minutes = Math.abs(offsetMinutes);
  return `${local}${offsetMinutes < 0 ? "-" : "+"}${twoDigits(minutes / 60)}:${twoDigits(minutes % 60)}`;
}

/** In UTC, to the millisecond; a fraction of zero is left out. */
export function utcRfc3339(msSinceEpoch: number): string {
  return new Date(msSinceEpoch).toISOString().replace(".000Z", "Z");
}

function twoDigits(count: number): string {
  return String(Math.floor(count)).padStart(2, "0");
}
