import { CallAbort } from "../../../core/call-signal.ts";
import type { Clock } from "../../../core/clock.ts";
import { messageOf } from "../../../core/errors.ts";
import type { LogFields, Logger } from "../../../core/logger.ts";
import { HandOut, type Undone } from "../../../pubsub/hand-out.ts";
import type { BrokerSubscription, SubscribeOptions } from "../../contract/pubsub.ts";
import type { RedisConnection } from "./connections.ts";
import type { RedisSettings } from "./settings.ts";
import { readEntries, readPending, readStream, type StreamEntry } from "./stream-entry.ts";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;
const LONGEST_BLOCK_MS = 5000;
// What is let go at the end is for whoever looks next, whatever its processingTimeout.
const LET_GO_IDLE_MS = 86_400_000;
// How long the end of a subscription waits for a Redis that may never answer, beyond the handler's time.
const MUTE_MS = 1000;
const IDS_A_COMMAND = 500;
const PENDING_A_PAGE = 100;
// The one connection may be back some seconds before the other.
const LATE_READER_FAILURES = 4;
// Events behind one of their key that fails do not hold up the others, up to so many times the queue.
const MOST_HELD_TIMES = 20;

export interface SubscriptionParts {
  /** Its name, for logs. */
  readonly component: string;
  readonly settings: RedisSettings;
  readonly clock: Clock;
  readonly log: Logger;
  /** Shared with everybody else: never waits in Redis. */
  readonly connection: RedisConnection;
  /** Its own: on it waits the reading of new entries. */
  readonly reader: RedisConnection;
}

/**
 * One consumer of a group on a stream. New entries come with XREADGROUP; those that others have left behind (pending, and idle
 * for `processingTimeout`) are looked for every `redeliverInterval` and claimed. What is held here is claimed again and again,
 * so that it does not become idle. One that has failed stays here for its pause; that of many which fail is left to be found
 * as if its consumer had died.
 *
 * All consumers have the group's name, as those of Dapr's component: none is left over when a process dies.
 */
export class StreamSubscription implements BrokerSubscription {
  readonly #options: SubscribeOptions;
  readonly #parts: SubscriptionParts;
  readonly #handOut: HandOut;
  readonly #closing = new CallAbort();
  /** Done, and Redis does not know it yet. */
  readonly #unknownDone = new Set<string>();
  readonly #capacity: number;
  readonly #loops: Promise<unknown>[] = [];
  #acknowledging: Promise<void> | undefined;
  #roomWaiters: (() => void)[] = [];
  #readerId: number | undefined;
  #ended: Promise<void> | undefined;

  constructor(options: SubscribeOptions, parts: SubscriptionParts) {
    this.#options = options;
    this.#parts = parts;
    const { settings, clock } = parts;
    const { keyOf, batch, handle } = options;
    this.#capacity = Math.max(settings.queueDepth, batch?.maxEvents ?? 1);
    // An interval of 0 looks for nothing that others have left, but what failed here is tried again all the same.
    const longestMs = settings.redeliverIntervalMs || LONGEST_PAUSE_MS;
    this.#handOut = new HandOut({
      clock,
      batch,
      keyOf,
      handle: async (events, signal) => {
        const verdicts = await handle(events, signal);
        return settings.ackOnError ? events.map(() => "done") : verdicts;
      },
      mayBegin: (underWay) => underWay < settings.concurrency,
      pauseMs: (failures) => Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), longestMs),
      onDone: ({ id }) => {
        this.#unknownDone.add(id);
        this.#acknowledge();
        this.#roomMade();
      },
      mayKeep: (_, waiting) => {
        this.#roomMade();
        // Half of the room is for what may go well.
        return !this.#reclaims || waiting < Math.ceil(this.#capacity / 2);
      },
    });
  }

  /** @throws {Error} where there is no connection, or the group cannot be made. */
  async start(): Promise<void> {
    await this.#parts.reader.connect();
    await this.#makeGroup();
    this.#loops.push(this.#readOn());
    if (this.#reclaims) this.#loops.push(this.#reclaimOn(), this.#renewOn());
  }

  async close(patienceMs: number): Promise<void> {
    this.#closing.abort(new Error("the subscription is closed"));
    this.#roomMade();
    const work = this.#handOut.close(patienceMs);
    this.#ended ??= this.#end(work);
    await Promise.all([work, this.#unlessRedisIsMute(this.#ended, patienceMs + MUTE_MS)]);
    // What it still waits for, it waits for in vain.
    this.#parts.reader.close();
  }

  async #unlessRedisIsMute(work: Promise<void>, ms: number): Promise<void> {
    const timer = new CallAbort();
    await Promise.race([work, this.#parts.clock.sleep(ms, timer).catch(() => undefined)]);
    timer.abort(new Error("it is done"));
  }

  get #reclaims(): boolean {
    const { processingTimeoutMs, redeliverIntervalMs } = this.#parts.settings;
    return processingTimeoutMs > 0 && redeliverIntervalMs > 0;
  }

  #mustEnd(): boolean {
    return this.#closing.aborted;
  }

  get #group(): string {
    return this.#options.group;
  }

  get #topic(): string {
    return this.#options.topic;
  }

  get #about(): LogFields {
    return { component: this.#parts.component, topic: this.#topic, group: this.#group };
  }

  async #makeGroup(): Promise<void> {
    try {
      await this.#parts.connection.send("xgroup", ["CREATE", this.#topic, this.#group, "0", "MKSTREAM"]);
    } catch (error) {
      if (!says(error, "BUSYGROUP")) throw error;
    }
  }

  async #readOn(): Promise<void> {
    const { reader, settings } = this.#parts;
    const blockMs = Math.max(1, Math.min(settings.readTimeoutMs ?? LONGEST_BLOCK_MS, LONGEST_BLOCK_MS));
    await this.#again(async () => {
      const room = await this.#room();
      await this.#learnReaderId();
      // Nobody would end its waiting any more.
      if (this.#mustEnd()) return;
      const from = ["GROUP", this.#group, this.#group, "COUNT", room, "BLOCK", blockMs, "STREAMS", this.#topic, ">"];
      const entries = readStream(await reader.send("xreadgroup", from, blockMs));
      for (const entry of entries) this.#offer(entry, 1);
    }, 0);
  }

  /** By which its waiting can be ended. Not where Redis does not let us know, and not in a cluster, whose nodes have each their own. */
  async #learnReaderId(): Promise<void> {
    const { reader, settings } = this.#parts;
    if (settings.kind === "cluster" || (this.#readerId !== undefined && reader.isReady)) return;
    this.#readerId = undefined;
    const id = await reader.send("client", ["ID"]).catch((error: unknown) => {
      if (says(error, "NOPERM")) return undefined;
      throw error;
    });
    if (typeof id === "number") this.#readerId = id;
  }

  async #reclaimOn(): Promise<void> {
    await this.#again(() => this.#reclaim(), this.#parts.settings.redeliverIntervalMs);
  }

  async #reclaim(): Promise<void> {
    const { connection, settings } = this.#parts;
    const idleMs = settings.processingTimeoutMs;
    let from = "-";
    while (!this.#mustEnd()) {
      const room = await this.#room();
      if (this.#mustEnd()) return;
      const page = ["IDLE", idleMs, from, "+", PENDING_A_PAGE];
      const pending = readPending(await connection.send("xpending", [this.#topic, this.#group, ...page]));
      const held = this.#heldIds();
      const lost = pending.filter(({ id }) => !held.has(id) && !this.#unknownDone.has(id)).slice(0, room);
      const deliveries = new Map(lost.map(({ id, deliveries }) => [id, deliveries]));
      if (lost.length > 0) {
        const ids = [...deliveries.keys()];
        const claim = [this.#topic, this.#group, this.#group, idleMs, ...ids];
        const claimed = readEntries(await connection.send("xclaim", claim));
        for (const entry of claimed) this.#offer(entry, (deliveries.get(entry.id) ?? 0) + 1);
        await this.#forgetTrimmed(ids, claimed);
      }
      const last = lost.length === room ? lost.at(-1) : pending.at(-1);
      if (last === undefined || (pending.length < PENDING_A_PAGE && lost.length < room)) return;
      from = `(${last.id}`;
    }
  }

  /** What was trimmed or deleted while it was pending would be pending for ever before Redis 7. */
  async #forgetTrimmed(ids: readonly string[], claimed: readonly StreamEntry[]): Promise<void> {
    const there = new Set(claimed.map(({ id }) => id));
    for (const id of ids) {
      if (there.has(id)) continue;
      const entry = readEntries(await this.#parts.connection.send("xrange", [this.#topic, id, id]));
      if (entry.length === 0) await this.#parts.connection.send("xack", [this.#topic, this.#group, id]);
    }
  }

  /** What is held must not look as if nobody were at work on it. */
  async #renewOn(): Promise<void> {
    const everyMs = Math.max(1, Math.floor(this.#parts.settings.processingTimeoutMs / 3));
    await this.#again(async () => {
      this.#acknowledge();
      const held = this.#handOut.events().map(({ id, attempt = 1 }): [string, number] => [id, attempt]);
      for (const [attempt, ids] of byCount(held)) await this.#claim(ids, ["RETRYCOUNT", attempt]);
    }, everyMs);
  }

  /** Sets how long they are idle, and how often they were handed out. Leaves alone what is done. */
  async #claim(ids: readonly string[], settings: readonly (string | number)[]): Promise<void> {
    for (let at = 0; at < ids.length; at += IDS_A_COMMAND) {
      const some = ids.slice(at, at + IDS_A_COMMAND);
      const claim = [this.#topic, this.#group, this.#group, 0, ...some, ...settings, "JUSTID"];
      await this.#parts.connection.send("xclaim", claim);
    }
  }

  #offer({ id, data, contentType, metadata }: StreamEntry, attempt: number): void {
    this.#handOut.offer({ id, topic: this.#topic, data, contentType, metadata, attempt });
  }

  #heldIds(): Set<string> {
    return new Set(this.#handOut.events().map(({ id }) => id));
  }

  /** How many more events may be held; waits until there is room for one, or the end. */
  async #room(): Promise<number> {
    for (;;) {
      const { size, behind } = this.#handOut;
      const most = MOST_HELD_TIMES * this.#capacity - this.#unknownDone.size;
      const room = Math.min(this.#capacity + behind, most) - size;
      if (room > 0 || this.#mustEnd()) return room;
      await new Promise<void>((resolve) => {
        this.#roomWaiters.push(resolve);
      });
    }
  }

  #roomMade(): void {
    // Whoever is told asks the HandOut, which has not let go of the event yet.
    const waiters = this.#roomWaiters.splice(0);
    if (waiters.length > 0) {
      setImmediate(() => {
        for (const wake of waiters) wake();
      });
    }
  }

  /** Sends what is done to Redis, many at once, until it knows. What fails is sent with the next. */
  #acknowledge(): void {
    this.#acknowledging ??= this.#sendDone();
  }

  async #sendDone(): Promise<void> {
    const { clock, connection } = this.#parts;
    // Those that are done in the same turn go together.
    await new Promise((resolve) => setImmediate(resolve));
    let failures = 0;
    while (this.#unknownDone.size > 0 && !(failures > 0 && this.#mustEnd())) {
      const ids = [...this.#unknownDone].slice(0, IDS_A_COMMAND);
      try {
        await connection.send("xack", [this.#topic, this.#group, ...ids]);
      } catch (error) {
        if (!says(error, "NOGROUP")) {
          failures += 1;
          if (failures === 2 && connection.isReady) this.#tellUnknownDone(error);
          await clock.sleep(FIRST_PAUSE_MS, this.#closing).catch(() => undefined);
          continue;
        }
      }
      failures = 0;
      for (const id of ids) this.#unknownDone.delete(id);
      this.#roomMade();
    }
    // In the same turn as the last look: what is done from now on begins anew.
    this.#acknowledging = undefined;
  }

  #tellUnknownDone(error: unknown): void {
    this.#parts.log.error(
      `Redis cannot be told that events are done: ${messageOf(error)}; it is tried until it can, and others may be handed them again`,
      this.#about,
    );
  }

  /** Does something again and again until the end: at once, or after a while, and after a pause where it fails. */
  async #again(work: () => Promise<void>, everyMs: number): Promise<void> {
    const { clock, connection, reader } = this.#parts;
    // Where there is no connection to Redis, that has been said.
    let [failures, unexplained, isTold] = [0, 0, false];
    while (!this.#mustEnd()) {
      let pauseMs = everyMs;
      try {
        await work();
        [failures, unexplained, isTold] = [0, 0, false];
      } catch (error) {
        if (this.#mustEnd()) return;
        failures += 1;
        unexplained = connection.isReady ? unexplained + 1 : 0;
        pauseMs = Math.min(100 * 2 ** failures, LONGEST_BLOCK_MS);
        await this.#recover(error);
        if (!isTold && unexplained >= (reader.isReady ? 2 : LATE_READER_FAILURES)) {
          isTold = true;
          const why = `events cannot be read from Redis: ${messageOf(error)}; it is tried again until they can`;
          this.#parts.log.error(why, this.#about);
        }
      }
      if (pauseMs > 0) await clock.sleep(pauseMs, this.#closing).catch(() => undefined);
    }
  }

  async #recover(error: unknown): Promise<void> {
    this.#readerId = undefined;
    if (!says(error, "NOGROUP")) return;
    const what = "the stream or its group is gone from Redis; it is made anew, and begins at the oldest event";
    this.#parts.log.warn(what, this.#about);
    await this.#makeGroup().catch(() => undefined);
  }

  async #end(work: Promise<void>): Promise<void> {
    const { reader } = this.#parts;
    await this.#endReading();
    await work;
    await this.#tellRest();
    reader.close();
    await Promise.all(this.#loops);
  }

  /** What is done, and what is not. Where that cannot be said now, it is found once it has been idle for long enough. */
  async #tellRest(): Promise<void> {
    const { connection } = this.#parts;
    try {
      if (!connection.isReady) return;
      await this.#acknowledging;
      this.#acknowledge();
      await this.#acknowledging;
      await this.#letGo(this.#handOut.takeUndone());
    } catch (error) {
      this.#parts.log.debug(`what was not done with could not be let go in Redis: ${String(error)}`);
    }
  }

  /** What Redis has handed to us by now must get here, or nobody would know of it until it is idle. */
  async #endReading(): Promise<void> {
    const { connection, reader } = this.#parts;
    if (!reader.isReady || !connection.isReady) reader.close();
    else if (this.#readerId !== undefined) {
      await connection.send("client", ["UNBLOCK", this.#readerId]).catch(() => undefined);
    }
    await Promise.all(this.#loops);
  }

  /** For whoever looks next. What the handler never had does not count as handed out. */
  async #letGo(undone: readonly Undone[]): Promise<void> {
    const counted = undone.map(({ event, wasHandedOut }): [string, number] => [
      event.id,
      (event.attempt ?? 1) - (wasHandedOut ? 0 : 1),
    ]);
    for (const [deliveries, ids] of byCount(counted)) {
      await this.#claim(ids, ["IDLE", LET_GO_IDLE_MS, "RETRYCOUNT", deliveries]);
    }
  }
}

function byCount(counted: readonly (readonly [string, number])[]): Map<number, string[]> {
  const groups = new Map<number, string[]>();
  for (const [id, count] of counted) {
    const ids = groups.get(count);
    if (ids === undefined) groups.set(count, [id]);
    else ids.push(id);
  }
  return groups;
}

/** Whether it is an answer of Redis that begins so. */
function says(error: unknown, code: string): boolean {
  return error instanceof Error && error.message.startsWith(code);
}
