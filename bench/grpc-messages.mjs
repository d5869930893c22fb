// What the gRPC app and its callers say to each other. The app reads no header: all it has to know is in the message.
import { PATTERN } from "./pattern.mjs";

export const METHODS = {
  unary: "/demo.v1.Echo/Unary",
  serverStream: "/demo.v1.Echo/ServerStream",
  bidiStream: "/demo.v1.Echo/BidiStream",
};

const PREFIX_BYTES = 5;
const ASK_BYTES = 20;
const LEAST_ASK_BYTES = 8;

/** A message as it goes over the wire: not compressed, its length, its bytes. */
function framed(message) {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** A message of the app, framed. */
export function answerMessage(bytes) {
  return framed(PATTERN.subarray(0, bytes));
}

/** Asks for so many messages of so many bytes; 20 bytes long, framed. */
export function askFor(messages, bytes) {
  const ask = Buffer.from(PATTERN.subarray(0, ASK_BYTES));
  ask.writeUInt32BE(messages, 0);
  ask.writeUInt32BE(bytes, 4);
  return framed(ask);
}

/** Asks for itself. */
export function ping() {
  return askFor(0, 0);
}

/** @param {Buffer} message framed @returns what it asks for, undefined where it is none of ours */
export function readAsk(message) {
  if (message.length < PREFIX_BYTES + LEAST_ASK_BYTES) return undefined;
  return { messages: message.readUInt32BE(PREFIX_BYTES), bytes: message.readUInt32BE(PREFIX_BYTES + 4) };
}

/** Cuts what arrives on a stream into framed messages. */
export class MessageCutter {
  #rest;

  /** @returns {Buffer[]} copies: what arrived may be overwritten */
  push(data, start, end) {
    const piece = data.subarray(start, end);
    let bytes = this.#rest === undefined ? piece : Buffer.concat([this.#rest, piece]);
    const messages = [];
    while (bytes.length >= PREFIX_BYTES && bytes.length >= PREFIX_BYTES + bytes.readUInt32BE(1)) {
      const length = PREFIX_BYTES + bytes.readUInt32BE(1);
      messages.push(Buffer.from(bytes.subarray(0, length)));
      bytes = bytes.subarray(length);
    }
    this.#rest = bytes.length === 0 ? undefined : Buffer.from(bytes);
    return messages;
  }
}
