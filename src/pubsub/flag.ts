/**
 * A field of metadata that is true or false, as daprd reads one: the case of its name does not count; false where it is not there,
 * or empty.
 *
 * @throws {Error} in daprd's words, where it is neither in the words of Go's strconv.ParseBool.
 */
export function flagIn(metadata: ReadonlyMap<string, string>, name: string): boolean {
  if (metadata.size === 0) return false;
  const lower = name.toLowerCase();
  const value = metadata.get(name) ?? [...metadata].find(([key]) => key.toLowerCase() === lower)?.[1] ?? "";
  if (/^(?:|0|f|F|false|FALSE|False)$/.test(value)) return false;
  if (/^(?:1|t|T|true|TRUE|True)$/.test(value)) return true;
  throw new Error(`${name} value must be a valid boolean: actual is '${value}'`);
}
