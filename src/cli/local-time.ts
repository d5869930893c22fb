/** Year, month, day, hour, minute and second where this machine is, with leading zeros. */
export function localTimeParts(ms: number): string[] {
  const time = new Date(ms);
  const parts = [time.getMonth() + 1, time.getDate(), time.getHours(), time.getMinutes(), time.getSeconds()];
  return [String(time.getFullYear()), ...parts.map((part) => String(part).padStart(2, "0"))];
}

/** `2026-11-21 13:45:01`, where this machine is. */
export function localTime(ms: number): string {
  const [year, month, day, ...time] = localTimeParts(ms);
  return `${[year, month, day].join("-")} ${time.join(":")}`;
}
