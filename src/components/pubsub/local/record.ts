import { crc32 } from "node:zlib";
import type { OutgoingEvent } from "../../contract/pubsub.ts";

/**
 * One event as it stands in the store, all numbers little-endian:
 *
 *     0  u32  CRC-32 of the key and of all that follows
 *     4  u8   layout, 1
 *     5  u8   1 where there is a content type
 *     6  u16  bytes of the content type
 *     8  f64  when it was published, milliseconds since the epoch
 *    16  u32  bytes of the metadata
 *    20       content type, metadata (JSON: a list of pairs, empty for none), data
 *
 * The key is in the checksum, so that a whole record in a wrong place is no event either.
 */

const LAYOUT = 1;
const AT = { crc: 0, layout: 4, hasContentType: 5, contentTypeBytes: 6, publishedAt: 8, metadataBytes: 16 } as const;
const HEAD_BYTES = 20;
const MAX_CONTENT_TYPE_BYTES = 0xffff;

export interface StoredRecord {
  readonly publishedAtMs: number;
  readonly data: Uint8Array;
  readonly contentType: string | undefined;
  readonly metadata: ReadonlyMap<string, string>;
}

/** Without its checksum, which {@link sealRecord} writes once the key is known. @throws {Error} for a content type past 64 KiB. */
export function encodeRecord(event: OutgoingEvent, publishedAtMs: number): Buffer {
  const { contentType, metadata, data } = event;
  const type = Buffer.from(contentType ?? "");
  if (type.length > MAX_CONTENT_TYPE_BYTES) throw new Error("the content type of the event is longer than 64 KiB");
  const pairs = metadata.size === 0 ? NOTHING : Buffer.from(JSON.stringify([...metadata]));
  const record = Buffer.allocUnsafe(HEAD_BYTES + type.length + pairs.length + data.length);
  record.writeUInt32LE(0, AT.crc);
  record[AT.layout] = LAYOUT;
  record[AT.hasContentType] = contentType === undefined ? 0 : 1;
  record.writeUInt16LE(type.length, AT.contentTypeBytes);
  record.writeDoubleLE(publishedAtMs, AT.publishedAt);
  record.writeUInt32LE(pairs.length, AT.metadataBytes);
  record.set(type, HEAD_BYTES);
  record.set(pairs, HEAD_BYTES + type.length);
  record.set(data, HEAD_BYTES + type.length + pairs.length);
  return record;
}

const NOTHING = Buffer.alloc(0);

export function sealRecord(key: Buffer, record: Buffer): void {
  record.writeUInt32LE(checksumOf(key, record), AT.crc);
}

/** Whether it is what was sealed under this key. */
export function isWhole(key: Buffer, record: Buffer): boolean {
  return record.length >= 4 && record.readUInt32LE(AT.crc) === checksumOf(key, record);
}

/** Undefined where the record is damaged. Its data are a part of `record`. */
export function decodeRecord(key: Buffer, record: Buffer): StoredRecord | undefined {
  if (record.length < HEAD_BYTES || !isWhole(key, record) || record[AT.layout] !== LAYOUT) return undefined;
  const metadataAt = HEAD_BYTES + record.readUInt16LE(AT.contentTypeBytes);
  const dataAt = metadataAt + record.readUInt32LE(AT.metadataBytes);
  return {
    publishedAtMs: publishedAtOf(record),
    data: record.subarray(dataAt),
    contentType: record[AT.hasContentType] === 0 ? undefined : record.toString("utf8", HEAD_BYTES, metadataAt),
    metadata: dataAt === metadataAt ? NO_METADATA : pairsIn(record.toString("utf8", metadataAt, dataAt)),
  };
}

const NO_METADATA: ReadonlyMap<string, string> = new Map();

/** Without a look at the checksum. */
export function publishedAtOf(record: Buffer): number {
  return record.length < HEAD_BYTES ? 0 : record.readDoubleLE(AT.publishedAt);
}

function checksumOf(key: Buffer, record: Buffer): number {
  return crc32(record.subarray(4), crc32(key));
}

function pairsIn(text: string): ReadonlyMap<string, string> {
  // Written by encodeRecord, and its checksum holds.
  return new Map(JSON.parse(text) as [string, string][]);
}
