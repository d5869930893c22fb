/** Whether what is published, or subscribed to, is bytes that are no CloudEvent (A7, A8). */
const RAW_PAYLOAD = "rawPayload";

/** @throws {Error} in daprd's words, for what Go's `strconv.ParseBool` does not read. */
export function isRawPayload(metadata: ReadonlyMap<string, string>): boolean {
  const value = metadata.get(RAW_PAYLOAD) ?? "";
  if (/^(?:|0|f|F|false|FALSE|False)$/.test(value)) return false;
  if (/^(?:1|t|T|true|TRUE|True)$/.test(value)) return true;
  throw new Error(`${RAW_PAYLOAD} value must be a valid boolean: actual is '${value}'`);
}
