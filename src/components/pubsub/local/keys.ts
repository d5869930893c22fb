import { createHash } from "node:crypto";

/** Keys of the tables, as bytes that sort as the numbers in them do. */

export const NUMBER_BYTES = 8;
const PLACE_BYTES = 8;
const HASH_BYTES = 16;

/** A topic's number, then whatever it is that sorts within it. */
export function topicPrefix(topicId: number): Buffer {
  const key = Buffer.allocUnsafe(4);
  key.writeUInt32BE(topicId, 0);
  return key;
}

export function eventKey(topicId: number, position: number): Buffer {
  const key = Buffer.allocUnsafe(4 + NUMBER_BYTES);
  key.writeUInt32BE(topicId, 0);
  writeNumber(key, position, 4);
  return key;
}

export function positionIn(key: Buffer): number {
  return readNumber(key, key.length - NUMBER_BYTES);
}

export function topicIdIn(key: Buffer): number {
  return key.readUInt32BE(0);
}

/** Of a table whose rows belong to a group of a topic; the group's number is unique in the store. */
export function groupKey(topicId: number, groupId: number): Buffer {
  const key = Buffer.allocUnsafe(PLACE_BYTES);
  key.writeUInt32BE(topicId, 0);
  key.writeUInt32BE(groupId, 4);
  return key;
}

export function inGroup(group: Buffer, position: number): Buffer {
  const key = Buffer.allocUnsafe(PLACE_BYTES + NUMBER_BYTES);
  group.copy(key);
  writeNumber(key, position, PLACE_BYTES);
  return key;
}

export function dueKey(group: Buffer, dueAtMs: number, position: number): Buffer {
  const key = Buffer.allocUnsafe(PLACE_BYTES + 2 * NUMBER_BYTES);
  group.copy(key);
  writeNumber(key, Math.ceil(dueAtMs), PLACE_BYTES);
  writeNumber(key, position, PLACE_BYTES + NUMBER_BYTES);
  return key;
}

export function dueAtIn(key: Buffer): number {
  return readNumber(key, PLACE_BYTES);
}

/** Ordering keys may be long and anything; two that hash to the same would only wait for each other. */
export function hashOf(orderingKey: string): Buffer {
  return createHash("sha256").update(orderingKey).digest().subarray(0, HASH_BYTES);
}

export function keyQueueKey(group: Buffer, hash: Buffer, position: number): Buffer {
  const key = Buffer.allocUnsafe(PLACE_BYTES + HASH_BYTES + NUMBER_BYTES);
  group.copy(key);
  hash.copy(key, PLACE_BYTES);
  writeNumber(key, position, PLACE_BYTES + HASH_BYTES);
  return key;
}

/** The first key that does not begin with `prefix` any more. */
export function after(prefix: Buffer): Buffer {
  return Buffer.concat([prefix, Buffer.alloc(32, 0xff)]);
}

/** Whole numbers below 2^53. */
function writeNumber(key: Buffer, value: number, at: number): void {
  key.writeUInt32BE(Math.floor(value / 2 ** 32), at);
  key.writeUInt32BE(value % 2 ** 32, at + 4);
}

function readNumber(key: Buffer, at: number): number {
  return key.readUInt32BE(at) * 2 ** 32 + key.readUInt32BE(at + 4);
}
