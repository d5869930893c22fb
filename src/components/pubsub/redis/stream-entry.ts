import type { OutgoingEvent } from "../../contract/pubsub.ts";

/**
 * An entry of a stream, as Dapr's component writes and reads it (components-contrib/pubsub/redis/redis.go): a field `data`
 * with the bytes, and one `metadata` with a JSON object where there is any. The field `contentType` is ours; Dapr's ignores it.
 */
export interface StreamEntry {
  readonly id: string;
  readonly data: Uint8Array;
  readonly contentType: string | undefined;
  readonly metadata: ReadonlyMap<string, string>;
}

export function fieldsOf({ data, contentType, metadata }: OutgoingEvent): (string | Buffer)[] {
  // Without a copy.
  const fields: (string | Buffer)[] = ["data", Buffer.from(data.buffer, data.byteOffset, data.byteLength)];
  if (metadata.size > 0) fields.push("metadata", JSON.stringify(Object.fromEntries(metadata)));
  if (contentType !== undefined) fields.push("contentType", contentType);
  return fields;
}

/** What XRANGE, XCLAIM and a stream of XREADGROUP answer. Entries that are not there any more are left out. */
export function readEntries(reply: unknown): StreamEntry[] {
  if (!Array.isArray(reply)) return [];
  return reply.flatMap((entry: unknown) => {
    if (!Array.isArray(entry)) return [];
    const [id, fields] = entry as readonly unknown[];
    return Array.isArray(fields) ? [readEntry(textOf(id), fields)] : [];
  });
}

/** The entries of the one stream that XREADGROUP was asked for. */
export function readStream(reply: unknown): StreamEntry[] {
  const stream: unknown = Array.isArray(reply) ? reply[0] : undefined;
  return Array.isArray(stream) ? readEntries(stream[1]) : [];
}

export interface PendingEntry {
  readonly id: string;
  readonly idleMs: number;
  readonly deliveries: number;
}

/** What XPENDING with a range answers. */
export function readPending(reply: unknown): PendingEntry[] {
  if (!Array.isArray(reply)) return [];
  return reply.flatMap((entry: unknown) => {
    if (!Array.isArray(entry)) return [];
    const [id, , idleMs, deliveries] = entry as readonly unknown[];
    return [{ id: textOf(id), idleMs: Number(idleMs), deliveries: Number(deliveries) }];
  });
}

function readEntry(id: string, fields: readonly unknown[]): StreamEntry {
  let data: Uint8Array = Buffer.alloc(0);
  let contentType: string | undefined;
  let metadata: ReadonlyMap<string, string> = new Map();
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const value = fields[at + 1];
    if (!Buffer.isBuffer(value)) continue;
    const name = textOf(fields[at]);
    if (name === "data") data = value;
    else if (name === "contentType") contentType = value.toString();
    else if (name === "metadata") metadata = readMetadata(value.toString());
  }
  return { id, data, contentType, metadata };
}

/** What is no JSON object of texts is left out, as Dapr's component does. */
function readMetadata(json: string): ReadonlyMap<string, string> {
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return new Map();
    return new Map(
      Object.entries(value).flatMap(([k, v]: [string, unknown]) => (typeof v === "string" ? [[k, v]] : [])),
    );
  } catch {
    return new Map();
  }
}

function textOf(value: unknown): string {
  return Buffer.isBuffer(value) ? value.toString() : String(value);
}
