/**
 * A field of a subscription's metadata that is true or false, without regard to the case of its name; false where it is not there.
 *
 * @throws {Error} in daprd's words, where it is neither in the words of Go's strconv.ParseBool.
 */
export function flagIn(metadata: ReadonlyMap<string, string>, name: string): boolean {
  const field = [...metadata].find(([key]) => key.toLowerCase() === name.toLowerCase());
  const value = field?.[1] ?? "false";
  if (/^(?:1|t|T|true|TRUE|True)$/.test(value)) return true;
  if (/^(?:0|f|F|false|FALSE|False)$/.test(value)) return false;
  throw new Error(`${name} value must be a valid boolean: actual is '${value}'`);
}
