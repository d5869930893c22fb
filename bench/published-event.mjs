// What is published, and how the app that gets it knows when that was.

export const PUBSUB = "pubsub";
/** The app subscribes to it. */
export const EVENT_TOPIC = "orders";
/** Nobody does. */
export const UNHEARD_TOPIC = "unheard";

const BYTES = 256;
const MARK = '"at":"';

/** 256 bytes of JSON that say when they were sent, in nanoseconds of the monotonic clock that all processes of a machine share. */
export function eventData() {
  const said = `{"id":4711,"customer":"c-17",${MARK}${process.hrtime.bigint()}","say":"`;
  return `${said.padEnd(BYTES - 2, "as much as an order usually says; ")}"}`;
}

/** @param {Buffer} envelope @throws {Error} where there is no such event in it. */
export function sentAtOf(envelope) {
  const at = envelope.indexOf(MARK);
  const end = envelope.indexOf(34, at + MARK.length);
  if (at < 0 || end < 0) throw new Error("an event came that nobody has published");
  return BigInt(envelope.latin1Slice(at + MARK.length, end));
}
