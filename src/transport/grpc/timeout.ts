/** `grpc-timeout`: how long the caller waits, at most eight digits and a unit (gRPC over HTTP/2, "Requests"). */

const MS_PER_UNIT: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };
const UNITS = Object.entries(MS_PER_UNIT).reverse();
const MAX_VALUE = 99_999_999;

/** Milliseconds, or undefined where it is none. */
export function parseTimeout(text: string): number | undefined {
  const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(text) ?? [];
  return digits === undefined ? undefined : Number(digits) * (MS_PER_UNIT[unit ?? ""] ?? 1);
}

/** In the finest unit that can hold it. */
export function formatTimeout(ms: number): string {
  const left = Math.max(0, ms);
  for (const [unit, msPerUnit] of UNITS) {
    const value = Math.ceil(left / msPerUnit);
    if (value <= MAX_VALUE) return `${value}${unit}`;
  }
  return `${MAX_VALUE}H`;
}
