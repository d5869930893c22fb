import type { Worker } from "node:worker_threads";
import { startThread } from "./entry.ts";
import type { AppendedEvent, Checkpoint, Expiry, GroupRow } from "./event-log.ts";
import type { NumberedRequest, WriterAnswer, WriterRequest, WriterResult, WriterSetup } from "./writer-messages.ts";

interface Waiting {
  readonly resolve: (result: WriterResult) => void;
  readonly reject: (error: Error) => void;
}

interface WaitingEvent extends AppendedEvent {
  resolve(): void;
  reject(error: Error): void;
}

// Of one transaction. A larger one holds up the other processes; one event always fits.
const MOST_EVENTS = 1000;
const MOST_BYTES = 8 * 1024 ** 2;

/**
 * The main thread's side of the thread that writes. Events that are published while a transaction waits for the disk go into the
 * next one together, so that many cost one sync.
 */
export class Writer {
  readonly #setup: WriterSetup;
  /** Told after each append that is on disk. */
  readonly #onAppended: () => void;
  readonly #waiting = new Map<number, Waiting>();
  #thread: Worker | undefined;
  #lastId = 0;
  #queue: WaitingEvent[] = [];
  #appending: Promise<void> | undefined;
  #isClosed = false;

  constructor(setup: WriterSetup, onAppended: () => void) {
    this.#setup = setup;
    this.#onAppended = onAppended;
  }

  /** Resolves once it is on disk. @throws {Error} where it could not be written. */
  append(event: AppendedEvent): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ ...event, resolve, reject });
      this.#appending ??= this.#appendAll();
    });
  }

  async ensureGroup(topic: string, group: string, startsAt: "earliest" | "latest"): Promise<GroupRow> {
    return (await this.#ask({ kind: "group", topic, group, startsAt })) as GroupRow;
  }

  async checkpoint(checkpoints: readonly Checkpoint[]): Promise<void> {
    await this.#ask({ kind: "checkpoint", checkpoints });
  }

  async remove(topic: string, position: number): Promise<boolean> {
    return (await this.#ask({ kind: "remove", topic, position })) === true;
  }

  /** @returns how many were removed; there may be more. */
  async expire(expiry: Expiry): Promise<number> {
    return (await this.#ask({ kind: "expire", expiry })) as number;
  }

  /** What was asked for before is done first. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    await this.#appending;
    this.#isClosed = true;
    const thread = this.#thread;
    if (thread === undefined) return;
    await this.#ask({ kind: "close" }).catch(() => undefined);
    await thread.terminate();
  }

  async #appendAll(): Promise<void> {
    // Who publishes in the same turn is in the same transaction.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#queue.length > 0) {
      const events = this.#nextBatch();
      try {
        await this.#send(packed(events));
        // First: what is handed out next waits for nobody's answer.
        this.#onAppended();
        for (const event of events) event.resolve();
      } catch (error) {
        for (const event of events) event.reject(error as Error);
      }
    }
    this.#appending = undefined;
  }

  #nextBatch(): WaitingEvent[] {
    let bytes = 0;
    let count = 0;
    for (const { record } of this.#queue) {
      bytes += record.length;
      if (count > 0 && (count === MOST_EVENTS || bytes > MOST_BYTES)) break;
      count += 1;
    }
    if (count === this.#queue.length) {
      const all = this.#queue;
      this.#queue = [];
      return all;
    }
    return this.#queue.splice(0, count);
  }

  #ask(request: WriterRequest): Promise<WriterResult> {
    return this.#send({ request, handedOver: [] });
  }

  #send({ request, handedOver }: { request: WriterRequest; handedOver: ArrayBuffer[] }): Promise<WriterResult> {
    if (this.#isClosed && request.kind !== "close") return Promise.reject(new Error("the store is closed"));
    return new Promise((resolve, reject) => {
      const thread = (this.#thread ??= this.#start());
      const id = ++this.#lastId;
      this.#waiting.set(id, { resolve, reject });
      thread.ref();
      thread.postMessage({ id, request } satisfies NumberedRequest, handedOver);
    });
  }

  #start(): Worker {
    const thread = startThread(this.#setup);
    thread.on("message", ({ id, result, failure }: WriterAnswer) => {
      const asked = this.#waiting.get(id);
      this.#waiting.delete(id);
      // Nobody waits for it: it keeps no process alive.
      if (this.#waiting.size === 0) thread.unref();
      if (failure === undefined) asked?.resolve(result);
      else asked?.reject(new Error(failure));
    });
    const over = (why: string): void => {
      // It may have been told already, and what waits now waits for the next thread.
      if (this.#thread !== thread) return;
      this.#thread = undefined;
      const failed = [...this.#waiting.values()];
      this.#waiting.clear();
      for (const { reject } of failed) reject(new Error(why));
    };
    thread.on("error", (error) => {
      over(error.message);
    });
    thread.on("exit", () => {
      over("the thread that writes the store has ended");
    });
    return thread;
  }
}

function packed(events: readonly AppendedEvent[]): { request: WriterRequest; handedOver: ArrayBuffer[] } {
  const places = new Map<string, number>();
  const topicOf: number[] = [];
  const ends: number[] = [];
  let end = 0;
  for (const { topic, record } of events) {
    let place = places.get(topic);
    if (place === undefined) {
      place = places.size;
      places.set(topic, place);
    }
    topicOf.push(place);
    end += record.length;
    ends.push(end);
  }
  const buffer = new ArrayBuffer(end);
  const records = new Uint8Array(buffer);
  events.forEach(({ record }, at) => {
    records.set(record, at === 0 ? 0 : ends[at - 1]);
  });
  return { request: { kind: "append", topics: [...places.keys()], topicOf, ends, records }, handedOver: [buffer] };
}
