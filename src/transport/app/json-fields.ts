/** JSON as Go reads it into a struct, which is how apps know it: the case of a name does not count where no name fits exactly. */

/** Undefined for what is no JSON object. */
export function objectOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined;
}

export function fieldOf(object: Readonly<Record<string, unknown>>, name: string): unknown {
  if (Object.hasOwn(object, name)) return object[name];
  const lower = name.toLowerCase();
  const spelled = Object.keys(object).find((key) => key.toLowerCase() === lower);
  return spelled === undefined ? undefined : object[spelled];
}
