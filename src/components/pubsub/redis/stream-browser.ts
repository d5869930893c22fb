import type { EventBrowser, StoredEvent } from "../../contract/pubsub.ts";
import type { RedisConnection } from "./connections.ts";
import { readEntries, type StreamEntry } from "./stream-entry.ts";

const ID = /^(\d{1,20})-(\d{1,20})$/;
const LARGEST = 2n ** 64n - 1n;

/** What streams hold: everything that was published and has not been trimmed, whoever is done with it. */
export class StreamBrowser implements EventBrowser {
  readonly #connection: () => RedisConnection;

  constructor(connection: () => RedisConnection) {
    this.#connection = connection;
  }

  async list(topic: string, limit: number, after: string | undefined): Promise<readonly StoredEvent[]> {
    if (after !== undefined && !isId(after))
      throw new Error(`"${after}" is no id of an event in Redis; those are as 1700000000000-0`);
    const from = after === undefined ? "-" : `(${after}`;
    return readEntries(await this.#connection().send("xrange", [topic, from, "+", "COUNT", limit])).map(stored);
  }

  async get(topic: string, id: string): Promise<StoredEvent | undefined> {
    if (!isId(id)) return undefined;
    const [entry] = readEntries(await this.#connection().send("xrange", [topic, id, id]));
    return entry === undefined ? undefined : stored(entry);
  }

  async remove(topic: string, id: string): Promise<boolean> {
    return isId(id) && (await this.#connection().send("xdel", [topic, id])) === 1;
  }
}

function isId(text: string): boolean {
  const [, ms, place] = ID.exec(text) ?? [];
  return ms !== undefined && place !== undefined && BigInt(ms) <= LARGEST && BigInt(place) <= LARGEST;
}

/** The first part of an id is Redis' clock when it took the event. */
function stored(entry: StreamEntry): StoredEvent {
  return { ...entry, publishedAtMs: Number(entry.id.slice(0, entry.id.indexOf("-"))) };
}
