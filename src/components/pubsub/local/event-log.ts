import { after, eventKey, NUMBER_BYTES, positionIn, topicPrefix } from "./keys.ts";
import { type Environment, openTables, type Table } from "./lmdb.ts";
import { isWhole, publishedAtOf, sealRecord } from "./record.ts";

/**
 * Events and what must survive a power cut with them: topics, groups, and how far each group is. All of it is written by the
 * writer's thread alone, in transactions that are on disk when they are over; every thread reads.
 */

export interface TopicRow {
  readonly id: number;
  /** The position that its next event gets. */
  readonly next: number;
  /** Of the events that are kept. */
  readonly bytes: number;
}

export interface GroupRow {
  readonly topicId: number;
  readonly groupId: number;
  /** All events before it are done. Others after it may be, too. */
  readonly floor: number;
}

export interface AppendedEvent {
  readonly topic: string;
  /** Made by `encodeRecord`; it is sealed here. */
  readonly record: Buffer;
}

export interface Checkpoint {
  readonly topicId: number;
  readonly group: string;
  readonly floor: number;
}

/** What is to be removed, the oldest events first. */
export interface Expiry {
  readonly publishedBeforeMs: number;
  /** Of all that is kept; undefined for no limit. */
  readonly maxBytes: number | undefined;
}

const TABLES = ["events", "topics", "groups", "counters"] as const;
const FIRST_POSITION = 1;
const FIRST_ID = 1;
const MAX_NAME_BYTES = 1000;
const MAP_BYTES = 1024 ** 3;
// Of one transaction that removes, so that no publisher waits long behind it.
const REMOVED_AT_ONCE = 500;
const REMOVED_BYTES_AT_ONCE = 8 * 1024 ** 2;
const COUNTER = Buffer.from("next id");

export class EventLog {
  readonly #environment: Environment;
  readonly #events: Table;
  readonly #topics: Table;
  readonly #groups: Table;
  readonly #counters: Table;

  /** @throws what LMDB says. */
  constructor(path: string, mapBytes = MAP_BYTES) {
    const { environment, tables } = openTables({ path, mapBytes, isDurable: true }, TABLES);
    this.#environment = environment;
    this.#events = tables.events;
    this.#topics = tables.topics;
    this.#groups = tables.groups;
    this.#counters = tables.counters;
  }

  /** What other threads and processes have written since can be read from now on. */
  refresh(): void {
    this.#environment.resetReadTxn();
  }

  /** All of them or, where it throws, none. */
  append(events: readonly AppendedEvent[]): void {
    this.#transact(() => {
      const topics = new Map<string, { id: number; next: number; bytes: number }>();
      for (const { topic, record } of events) {
        let row = topics.get(topic);
        if (row === undefined) {
          row = { ...this.#topicOrNew(topic) };
          topics.set(topic, row);
        }
        const key = eventKey(row.id, row.next);
        sealRecord(key, record);
        this.#events.putSync(key, record);
        row.next += 1;
        row.bytes += record.length;
      }
      for (const [topic, row] of topics) this.#putTopic(topic, row);
    });
  }

  /** @param startsAt of a group that is new: the oldest event that is kept, or the next one that is published. */
  ensureGroup(topic: string, group: string, startsAt: "earliest" | "latest"): GroupRow {
    return this.#transact(() => {
      const row = this.#topicOrNew(topic);
      const key = groupRowKey(row.id, group);
      const known = this.#groups.getBinary(key);
      if (known !== undefined) return groupRowIn(row.id, key, known);
      const floor = startsAt === "latest" ? row.next : FIRST_POSITION;
      const made = { topicId: row.id, groupId: this.#nextId(), floor };
      this.#putGroup(key, made);
      return made;
    });
  }

  /** Groups never go back. */
  checkpoint(checkpoints: readonly Checkpoint[]): void {
    this.#transact(() => {
      for (const { topicId, group, floor } of checkpoints) {
        const key = groupRowKey(topicId, group);
        const value = this.#groups.getBinary(key);
        if (value === undefined) continue;
        const row = groupRowIn(topicId, key, value);
        if (row.floor < floor) this.#putGroup(key, { ...row, floor });
      }
    });
  }

  /** @returns whether it was there. */
  remove(topic: string, position: number): boolean {
    return this.#transact(() => {
      const row = this.topic(topic);
      const key = eventKey(row?.id ?? 0, position);
      const record = this.#events.getBinary(key);
      if (row === undefined || record === undefined) return false;
      this.#events.removeSync(key);
      this.#putTopic(topic, { ...row, bytes: row.bytes - record.length });
      return true;
    });
  }

  /** Whether {@link removeExpired} would find something. */
  hasExpired(expiry: Expiry): boolean {
    return this.#nextToExpire(expiry) !== undefined;
  }

  /** Removes some. @returns how many; 0 where nothing is left to do. */
  removeExpired(expiry: Expiry): number {
    return this.#transact(() => {
      const first = this.#nextToExpire(expiry);
      if (first === undefined) return 0;
      const { topic, row } = first;
      const tooMany = expiry.maxBytes === undefined ? 0 : this.#allBytes() - expiry.maxBytes;
      const keys: Buffer[] = [];
      let bytes = 0;
      for (const { key, value } of this.#events.getRange({ ...rangeOf(row.id), limit: REMOVED_AT_ONCE })) {
        const isTooMuch = bytes < tooMany;
        if (!isTooMuch && publishedAtOf(value) >= expiry.publishedBeforeMs) break;
        keys.push(key);
        bytes += value.length;
        if (bytes >= REMOVED_BYTES_AT_ONCE) break;
      }
      for (const key of keys) this.#events.removeSync(key);
      this.#putTopic(topic, { ...row, bytes: row.bytes - bytes });
      return keys.length;
    });
  }

  /** @throws {Error} where its row is damaged. */
  topic(name: string): TopicRow | undefined {
    const key = nameKey("topic", name);
    const value = this.#topics.getBinary(key);
    return value === undefined ? undefined : topicRowIn(key, value);
  }

  /** As it stands in the store, damaged or not. */
  record(topicId: number, position: number): Buffer | undefined {
    return this.#events.getBinary(eventKey(topicId, position));
  }

  /** Of the events that are kept, from this one on. */
  positionsFrom(topicId: number, position: number, limit: number): number[] {
    const range = { start: eventKey(topicId, position), end: after(topicPrefix(topicId)), limit };
    return [...this.#events.getKeys(range)].map(positionIn);
  }

  async close(): Promise<void> {
    await this.#environment.close();
  }

  #transact<Result>(work: () => Result): Result {
    return this.#environment.transactionSync(work);
  }

  /** The topic with the oldest event, if that one is to go. */
  #nextToExpire({ publishedBeforeMs, maxBytes }: Expiry): { topic: string; row: TopicRow } | undefined {
    let oldest: { topic: string; row: TopicRow; publishedAtMs: number } | undefined;
    let bytes = 0;
    for (const { key, value } of this.#topics.getRange({})) {
      const row = topicRowIn(key, value);
      bytes += row.bytes;
      const [first] = [...this.#events.getRange({ ...rangeOf(row.id), limit: 1 })];
      if (first === undefined) continue;
      const publishedAtMs = publishedAtOf(first.value);
      if (oldest === undefined || publishedAtMs < oldest.publishedAtMs) {
        oldest = { topic: key.toString(), row, publishedAtMs };
      }
    }
    const isTooMuch = maxBytes !== undefined && bytes > maxBytes;
    return oldest !== undefined && (isTooMuch || oldest.publishedAtMs < publishedBeforeMs) ? oldest : undefined;
  }

  #allBytes(): number {
    let bytes = 0;
    for (const { key, value } of this.#topics.getRange({})) bytes += topicRowIn(key, value).bytes;
    return bytes;
  }

  #topicOrNew(name: string): TopicRow {
    const known = this.topic(name);
    if (known !== undefined) return known;
    const made = { id: this.#nextId(), next: FIRST_POSITION, bytes: 0 };
    this.#putTopic(name, made);
    return made;
  }

  #putTopic(name: string, { id, next, bytes }: TopicRow): void {
    const key = nameKey("topic", name);
    const value = Buffer.alloc(24);
    value.writeUInt32LE(id, 4);
    value.writeDoubleLE(next, 8);
    value.writeDoubleLE(bytes, 16);
    sealRecord(key, value);
    this.#topics.putSync(key, value);
  }

  #putGroup(key: Buffer, { groupId, floor }: GroupRow): void {
    const value = Buffer.alloc(16);
    value.writeUInt32LE(groupId, 4);
    value.writeDoubleLE(floor, 8);
    sealRecord(key, value);
    this.#groups.putSync(key, value);
  }

  #nextId(): number {
    const known = this.#counters.getBinary(COUNTER);
    if (known !== undefined) refuseDamaged(COUNTER, known, "the counter of topics and groups");
    const id = known?.readUInt32LE(4) ?? FIRST_ID;
    const value = Buffer.alloc(NUMBER_BYTES);
    value.writeUInt32LE(id + 1, 4);
    sealRecord(COUNTER, value);
    this.#counters.putSync(COUNTER, value);
    return id;
  }
}

function rangeOf(topicId: number): { start: Buffer; end: Buffer } {
  const prefix = topicPrefix(topicId);
  return { start: prefix, end: after(prefix) };
}

/** Before it is with others in a transaction, which would fail with it. @throws {Error} for a name that is empty or too long. */
export function refuseBadTopic(name: string): void {
  nameKey("topic", name);
}

function nameKey(what: string, name: string): Buffer {
  const key = Buffer.from(name);
  if (key.length === 0) throw new Error(`the ${what} has no name`);
  if (key.length > MAX_NAME_BYTES) {
    throw new Error(`the name of the ${what} is ${key.length} bytes long; pubsub.local takes ${MAX_NAME_BYTES}`);
  }
  return key;
}

function groupRowKey(topicId: number, group: string): Buffer {
  return Buffer.concat([topicPrefix(topicId), nameKey("group", group)]);
}

function topicRowIn(key: Buffer, value: Buffer): TopicRow {
  refuseDamaged(key, value, `the topic ${key.toString()}`);
  return { id: value.readUInt32LE(4), next: value.readDoubleLE(8), bytes: value.readDoubleLE(16) };
}

function groupRowIn(topicId: number, key: Buffer, value: Buffer): GroupRow {
  refuseDamaged(key, value, `the group ${key.subarray(4).toString()}`);
  return { topicId, groupId: value.readUInt32LE(4), floor: value.readDoubleLE(8) };
}

function refuseDamaged(key: Buffer, value: Buffer, what: string): void {
  if (!isWhole(key, value)) throw new Error(`the store is damaged: what it says of ${what} is not what was written`);
}
