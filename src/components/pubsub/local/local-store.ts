import { closeSync, existsSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../../core/clock.ts";
import type { Logger } from "../../../core/logger.ts";
import type { Processes } from "../../contract/processes.ts";
import type { IncomingEvent, OutgoingEvent, StoredEvent, SubscribeOptions } from "../../contract/pubsub.ts";
import { Consumer, type Handed } from "./consumer.ts";
import { type Checkpoint, EventLog, type Expiry, refuseBadTopic } from "./event-log.ts";
import { type Claim, GroupState, type Outcome } from "./group-state.ts";
import { eventKey, hashOf } from "./keys.ts";
import type { LocalSettings } from "./local-settings.ts";
import { decodeRecord, encodeRecord, type StoredRecord } from "./record.ts";
import { scanStore } from "./scan.ts";
import { explained } from "./store-error.ts";
import type { StoreFolder } from "./store-folder.ts";
import { wakeOthers, watchForWakes } from "./wake.ts";
import { Writer } from "./writer.ts";

export interface LocalStoreParts {
  readonly folder: StoreFolder;
  readonly processes: Processes;
  readonly clock: Clock;
  readonly log: Logger;
  /** For tests: how long a session may be silent, and how large the maps are at first. */
  readonly leaseMs?: number;
  readonly mapBytes?: number;
}

/** What is open while the store is. */
interface StoreFiles {
  readonly events: EventLog;
  readonly groups: GroupState;
  /** Of the file that says that this process has the store open. */
  readonly name: string;
  /** That file, as a descriptor. */
  readonly wakeFile: number;
}

interface Settlement {
  readonly consumer: Consumer;
  readonly handed: Pick<Handed, "claim" | "session">;
  readonly outcome: Outcome;
}

const LEASE_MS = 60_000;
// Besides what wakes it: a wake may be lost, a holder may have died.
const SLOW_LOOK_MS = 1000;
const CHECKPOINT_AFTER_MS = 1000;
const AFTER_FAILURE_MS = 1000;
const LONGEST_BETWEEN_EXPIRIES_MS = 60_000;
// Of keys, which are asked for before the transaction.
const MOST_KEYS_KNOWN = 1000;

/** One store that is open in this process, for all that publish to it and subscribe to it here. */
export class LocalStore {
  readonly #parts: LocalStoreParts;
  readonly #name: string;
  readonly #events: EventLog;
  readonly #groups: GroupState;
  readonly #writer: Writer;
  readonly #wakeFile: number;
  readonly #consumers = new Set<Consumer>();
  readonly #keys = new Map<Consumer, Map<number, Buffer | undefined>>();
  /** Of each group, how far the log says that it is. */
  readonly #checkpoints = new Map<string, number>();
  readonly #dirty = new Set<Consumer>();
  readonly #leaseMs: number;
  #settlements: Settlement[] = [];
  #session: { id: number; leaseUntilMs: number } | undefined;
  #watch: { close(): void } | undefined;
  #isTurnDue = false;
  #dueTimer: NodeJS.Timeout | undefined;
  #slowLook: NodeJS.Timeout | undefined;
  #checkpointTimer: NodeJS.Timeout | undefined;
  #expiryTimer: NodeJS.Timeout | undefined;
  #retention: { ms: number; bytes: number | undefined } | undefined;
  #isFailing = false;
  #closing: Promise<void> | undefined;

  /**
   * Looks through the store first where nobody has it open.
   *
   * @throws {Error} naming the store and what to do, where it is damaged or cannot be opened.
   */
  static async open(parts: LocalStoreParts): Promise<LocalStore> {
    const { folder } = parts;
    try {
      folder.create();
      return await folder.whileOpening(
        async () => {
          if (!folder.isInUse()) await prepareUnused(parts);
          return new LocalStore(parts, await openFiles(parts));
        },
        (lock) => {
          parts.log.warn("another process is opening the store; events are taken and handed out once it has ended", {
            store: folder.path,
            lock,
          });
        },
      );
    } catch (error) {
      throw explained(error, `cannot open the store of pubsub.local at ${folder.path}`, folder.path);
    }
  }

  private constructor(parts: LocalStoreParts, files: StoreFiles) {
    const { folder, mapBytes, leaseMs = LEASE_MS } = parts;
    this.#parts = parts;
    this.#leaseMs = leaseMs;
    this.#events = files.events;
    this.#groups = files.groups;
    this.#name = files.name;
    this.#wakeFile = files.wakeFile;
    const wakeFile = join(folder.processFiles, files.name);
    this.#writer = new Writer({ log: folder.log, mapBytes, wakeFile }, () => {
      this.#turnSoon();
    });
  }

  /** The longest of what the components of this process ask for holds. */
  keep({ retentionMs, retentionBytes }: Pick<LocalSettings, "retentionMs" | "retentionBytes">): void {
    const known = this.#retention;
    this.#retention = {
      ms: Math.max(retentionMs, known?.ms ?? 0),
      bytes:
        retentionBytes === undefined || (known !== undefined && known.bytes === undefined)
          ? undefined
          : Math.max(retentionBytes, known?.bytes ?? 0),
    };
    if (this.#expiryTimer === undefined) this.#expireLater();
  }

  /** Resolves once it is on disk. */
  async publish(event: OutgoingEvent): Promise<void> {
    try {
      refuseBadTopic(event.topic);
      const record = encodeRecord(event, this.#parts.clock.now());
      await this.#writer.append({ topic: event.topic, record });
    } catch (error) {
      const { path } = this.#parts.folder;
      throw explained(error, `the event could not be written to the store at ${path}`, path);
    }
  }

  async subscribe(
    options: SubscribeOptions,
    { concurrency, newGroupsStartAt }: Pick<LocalSettings, "concurrency" | "newGroupsStartAt">,
  ): Promise<Consumer> {
    const { topic, group } = options;
    const row = await this.#writer.ensureGroup(topic, group, newGroupsStartAt);
    if (this.#closing !== undefined) throw new Error("the store is closed");
    const consumer = new Consumer(options, row, concurrency, {
      settle: (of, handed, outcome) => {
        this.#settlements.push({ consumer: of, handed, outcome });
        this.#turnSoon();
      },
      wantsMore: () => {
        this.#turnSoon();
      },
    });
    this.#groups.transact(() => {
      this.#groups.ensureGroup(consumer.group, row.floor);
    });
    this.#consumers.add(consumer);
    this.#watchOthers();
    this.#turnSoon();
    return consumer;
  }

  /** What {@link subscribe} gave. */
  async unsubscribe(consumer: Consumer, patienceMs: number): Promise<void> {
    await consumer.close(patienceMs);
    this.#consumers.delete(consumer);
    this.#keys.delete(consumer);
    // What it was working on is free for others from now on.
    this.#turn();
    this.#wakeOthers();
    if (this.#consumers.size === 0) this.#watchNobody();
  }

  list(topic: string, limit: number, after: string | undefined): StoredEvent[] {
    this.#events.refresh();
    const id = this.#events.topic(topic)?.id;
    const from = after === undefined ? 0 : (positionOf(after) ?? Number.MAX_SAFE_INTEGER - 1) + 1;
    if (id === undefined) return [];
    const listed: StoredEvent[] = [];
    for (const position of this.#events.positionsFrom(id, from, limit)) {
      const record = this.#read(id, topic, position);
      if (record !== undefined && record !== GONE) listed.push({ id: `${position}`, ...record });
    }
    return listed;
  }

  get(topic: string, id: string): StoredEvent | undefined {
    this.#events.refresh();
    const topicId = this.#events.topic(topic)?.id;
    const position = positionOf(id);
    if (topicId === undefined || position === undefined) return undefined;
    const record = this.#read(topicId, topic, position);
    return record === undefined || record === GONE ? undefined : { id: `${position}`, ...record };
  }

  async remove(topic: string, id: string): Promise<boolean> {
    const position = positionOf(id);
    return position !== undefined && (await this.#writer.remove(topic, position));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    clearTimeout(this.#dueTimer);
    clearTimeout(this.#checkpointTimer);
    clearTimeout(this.#expiryTimer);
    for (const consumer of [...this.#consumers]) await this.unsubscribe(consumer, 0);
    this.#watchNobody();
    try {
      this.#turn();
      const session = this.#session;
      if (session !== undefined) {
        this.#groups.transact(() => {
          this.#groups.endSession(session.id, this.#parts.clock.now());
        });
      }
      await this.#checkpoint();
    } catch (error) {
      this.#failed(error);
    }
    clearTimeout(this.#checkpointTimer);
    clearTimeout(this.#dueTimer);
    this.#wakeOthers();
    await this.#writer.close();
    await this.#groups.close();
    await this.#events.close();
    closeSync(this.#wakeFile);
    this.#parts.folder.unregister(this.#name);
  }

  #watchOthers(): void {
    if (this.#watch !== undefined) return;
    const { folder, log } = this.#parts;
    this.#watch = watchForWakes(
      folder.processFiles,
      this.#name,
      () => {
        this.#turnSoon();
      },
      (error) => {
        log.warn("other processes cannot be watched; their events are seen once a second", {
          store: folder.path,
          error: error.message,
        });
      },
    );
    this.#slowLook = setInterval(() => {
      this.#look();
    }, SLOW_LOOK_MS).unref();
  }

  #watchNobody(): void {
    this.#watch?.close();
    this.#watch = undefined;
    clearInterval(this.#slowLook);
  }

  #wakeOthers(): void {
    wakeOthers(this.#wakeFile);
  }

  #turnSoon(): void {
    if (this.#isTurnDue) return;
    this.#isTurnDue = true;
    setImmediate(() => {
      if (this.#isTurnDue) this.#turn();
    });
  }

  /** Once a second: takes from the dead, keeps the own lease, and finds what no wake has told. Nothing is written where nothing has changed. */
  #look(): void {
    const session = this.#session;
    try {
      this.#groups.refresh();
      const now = this.#parts.clock.now();
      const dead: number[] = [];
      for (const [id, { process, leaseUntilMs }] of this.#groups.sessions()) {
        if (id === this.#session?.id) continue;
        if (leaseUntilMs <= now || !this.#parts.processes.mayBeAlive(process)) dead.push(id);
      }
      if (dead.length > 0) {
        this.#groups.transact(() => {
          for (const id of dead) this.#groups.endSession(id, now);
        });
        this.#wakeOthers();
      }
      if (this.#isHolding && this.#leaseIsShort(now)) this.#groups.transact(() => this.#ensureSession(now, true));
    } catch (error) {
      // What was not written must not be believed: others take from sessions that they can see.
      this.#session = session;
      this.#failed(error);
    }
    this.#turn();
  }

  /** Writes what handlers have said, claims what there is room for, and hands it out. */
  #turn(): void {
    this.#isTurnDue = false;
    const settlements = this.#settlements;
    this.#settlements = [];
    const session = this.#session;
    try {
      const now = this.#parts.clock.now();
      this.#events.refresh();
      this.#groups.refresh();
      const claiming = this.#whoCanClaim(now, settlements);
      if (settlements.length === 0 && claiming.length === 0) return;
      const claims = this.#groups.transact(() => {
        const id = this.#ensureSession(now, settlements.length > 0 || this.#isHolding);
        for (const { consumer, handed, outcome } of settlements) {
          this.#groups.settle(consumer.group, handed.session, handed.claim, outcome, now);
        }
        return claiming.map((consumer) => ({ consumer, id, claimed: this.#claim(consumer, id, now) }));
      });
      this.#isFailing = false;
      this.#afterSettling(settlements);
      for (const { consumer, id, claimed } of claims) this.#handOut(consumer, id, claimed);
    } catch (error) {
      this.#session = session;
      this.#settlements = [...settlements, ...this.#settlements];
      this.#failed(error);
    }
  }

  #whoCanClaim(now: number, settlements: readonly Settlement[]): Consumer[] {
    let nextDueMs: number | undefined;
    const able: Consumer[] = [];
    for (const consumer of this.#consumers) {
      if (consumer.room === 0) continue;
      const { cursor, held, dueAtMs } = this.#groups.look(consumer.group);
      const isSettled = settlements.some(({ consumer: { group } }) => group.equals(consumer.group));
      if (consumer.isOrdered && held > consumer.forming && !isSettled) continue;
      const fresh = this.#events.positionsFrom(consumer.row.topicId, cursor, consumer.room);
      const isDue = dueAtMs !== undefined && dueAtMs <= now;
      if (dueAtMs !== undefined && !isDue) nextDueMs = Math.min(nextDueMs ?? dueAtMs, dueAtMs);
      if (fresh.length === 0 && !isDue && !isSettled) continue;
      this.#learnKeys(consumer, fresh);
      able.push(consumer);
    }
    clearTimeout(this.#dueTimer);
    if (nextDueMs !== undefined) {
      this.#dueTimer = setTimeout(
        () => {
          this.#turn();
        },
        Math.max(1, nextDueMs - now),
      ).unref();
    }
    return able;
  }

  /** Before the transaction: a key is an expression over the event, and the other processes wait for the transaction. */
  #learnKeys(consumer: Consumer, positions: readonly number[]): void {
    if (consumer.options.keyOf === undefined || consumer.isOrdered) return;
    let known = this.#keys.get(consumer);
    if (known === undefined || known.size > MOST_KEYS_KNOWN) {
      known = new Map();
      this.#keys.set(consumer, known);
    }
    for (const position of positions) this.#keyOf(consumer, known, position);
  }

  #keyOf(consumer: Consumer, known: Map<number, Buffer | undefined>, position: number): Buffer | undefined {
    if (known.has(position)) return known.get(position);
    const record = this.#read(consumer.row.topicId, consumer.options.topic, position);
    const event =
      record === undefined || record === GONE ? undefined : incoming(consumer, { position, attempt: 1 }, record);
    const text = event === undefined ? undefined : consumer.options.keyOf?.(event);
    const key = text === undefined ? undefined : hashOf(text);
    known.set(position, key);
    return key;
  }

  #claim(consumer: Consumer, session: number, nowMs: number): Claim[] {
    const { group, isOrdered, forming, room, row } = consumer;
    const known = this.#keys.get(consumer);
    const claimed = this.#groups.claim({
      group,
      session,
      nowMs,
      max: isOrdered && consumer.options.batch === undefined ? Math.min(1, room) : room,
      isOrdered,
      inSameBatch: forming,
      positionsFrom: (position, limit) => this.#events.positionsFrom(row.topicId, position, limit),
      keyOf: known === undefined ? undefined : (position) => this.#keyOf(consumer, known, position),
    });
    for (const { position } of claimed) known?.delete(position);
    return claimed;
  }

  #handOut(consumer: Consumer, session: number, claimed: readonly Claim[]): void {
    const handed: Handed[] = [];
    for (const claim of claimed) {
      const record = this.#readClaimed(consumer, claim);
      if (record === UNREADABLE || record === undefined || record === GONE) {
        const outcome = record === UNREADABLE ? "again" : "done";
        this.#settlements.push({ consumer, handed: { claim, session }, outcome });
        this.#turnSoon();
      } else {
        handed.push({ claim, session, event: incoming(consumer, claim, record) });
      }
    }
    consumer.take(handed);
    // There may be more than one claim takes.
    if (claimed.length > 0 && consumer.room > 0) this.#turnSoon();
  }

  #readClaimed(consumer: Consumer, { position }: Claim): StoredRecord | undefined | typeof GONE | typeof UNREADABLE {
    try {
      return this.#read(consumer.row.topicId, consumer.options.topic, position);
    } catch (error) {
      // The claim is written: it must not stay with nobody at work on it.
      this.#failed(error);
      return UNREADABLE;
    }
  }

  #afterSettling(settlements: readonly Settlement[]): void {
    let mayOthersGoOn = false;
    for (const { consumer, outcome } of settlements) {
      this.#dirty.add(consumer);
      mayOthersGoOn ||= outcome !== "done" || consumer.isOrdered || consumer.options.keyOf !== undefined;
    }
    if (mayOthersGoOn) this.#wakeOthers();
    if (settlements.length === 0) return;
    // The next of a key, or in order, is free now.
    if (mayOthersGoOn) this.#turnSoon();
    this.#checkpointTimer ??= setTimeout(() => {
      this.#checkpointTimer = undefined;
      this.#checkpoint().catch((error: unknown) => {
        this.#failed(error);
      });
    }, CHECKPOINT_AFTER_MS).unref();
  }

  /** How far the groups are, for the time after a power cut. */
  async #checkpoint(): Promise<void> {
    this.#groups.refresh();
    const checkpoints = new Map<string, Checkpoint>();
    for (const consumer of this.#dirty) {
      const floor = this.#groups.floor(consumer.group);
      const name = consumer.group.toString("hex");
      if (this.#checkpoints.get(name) === floor) continue;
      checkpoints.set(name, { topicId: consumer.row.topicId, group: consumer.options.group, floor });
    }
    this.#dirty.clear();
    if (checkpoints.size === 0) return;
    await this.#writer.checkpoint([...checkpoints.values()]);
    for (const [name, { floor }] of checkpoints) this.#checkpoints.set(name, floor);
  }

  get #isHolding(): boolean {
    for (const { held } of this.#consumers) if (held > 0) return true;
    return false;
  }

  #leaseIsShort(now: number): boolean {
    return this.#session === undefined || this.#session.leaseUntilMs - now < (this.#leaseMs * 2) / 3;
  }

  /** In a transaction. @param isHolding whether anything depends on the session that there was. Without it, it may run out. */
  #ensureSession(now: number, isHolding: boolean): number {
    const known = this.#session;
    if (known !== undefined && !this.#leaseIsShort(now)) return known.id;
    const session = { process: this.#parts.processes.own, leaseUntilMs: now + this.#leaseMs };
    const isKept = known !== undefined && this.#groups.renewSession(known.id, session);
    if (!isKept && isHolding) {
      this.#parts.log.warn("this process was silent for longer than its lease; what it worked on is handed out again", {
        store: this.#parts.folder.path,
      });
    }
    const id = isKept ? known.id : this.#groups.addSession(session);
    this.#session = { id, leaseUntilMs: session.leaseUntilMs };
    return id;
  }

  /** Undefined where it is damaged, which is told; `GONE` where it is not kept any more. */
  #read(topicId: number, topic: string, position: number): StoredRecord | undefined | typeof GONE {
    const bytes = this.#events.record(topicId, position);
    if (bytes === undefined) return GONE;
    const record = decodeRecord(eventKey(topicId, position), bytes);
    if (record === undefined) {
      this.#parts.log.error("an event is damaged and is not handed out", {
        store: this.#parts.folder.path,
        topic,
        event: `${position}`,
      });
    }
    return record;
  }

  #expireLater(): void {
    if (this.#retention === undefined) return;
    const { ms, bytes } = this.#retention;
    const longest = bytes === undefined ? LONGEST_BETWEEN_EXPIRIES_MS : SLOW_LOOK_MS;
    const pause = Math.max(SLOW_LOOK_MS, Math.min(longest, ms / 10));
    this.#expiryTimer = setTimeout(() => {
      // Also the sign of life for processes that cannot see this one.
      this.#wakeOthers();
      this.#expire()
        .catch((error: unknown) => {
          this.#failed(error);
        })
        .finally(() => {
          if (this.#closing === undefined) this.#expireLater();
        });
    }, pause).unref();
  }

  async #expire(): Promise<void> {
    const { ms, bytes } = this.#retention ?? { ms: Infinity, bytes: undefined };
    const expiry: Expiry = { publishedBeforeMs: this.#parts.clock.now() - ms, maxBytes: bytes };
    this.#events.refresh();
    if (!this.#events.hasExpired(expiry)) return;
    while (this.#closing === undefined && (await this.#writer.expire(expiry)) > 0);
  }

  #failed(error: unknown): void {
    const { folder, log } = this.#parts;
    if (!this.#isFailing) {
      const { message } = explained(error, "events cannot be handed out", folder.path);
      log.error(`${message}; tried again every second`, { store: folder.path });
    }
    this.#isFailing = true;
    if (this.#closing !== undefined) return;
    setTimeout(() => {
      this.#turnSoon();
    }, AFTER_FAILURE_MS).unref();
  }
}

const GONE = Symbol("not kept any more");
const UNREADABLE = Symbol("LMDB could not read it");

/** All of them or, where it throws, none: who asks again does not find what an attempt before it has left. */
async function openFiles({ folder, mapBytes }: LocalStoreParts): Promise<StoreFiles> {
  const undo: (() => unknown)[] = [];
  try {
    const events = new EventLog(folder.log, mapBytes);
    undo.push(() => events.close());
    folder.sync();
    const groups = new GroupState(folder.groups, mapBytes);
    undo.push(() => groups.close());
    const name = folder.register();
    undo.push(() => {
      folder.unregister(name);
    });
    return { events, groups, name, wakeFile: openSync(join(folder.processFiles, name), "r+") };
  } catch (error) {
    for (const close of undo.reverse()) await close();
    throw error;
  }
}

/** While nobody has the store open. */
async function prepareUnused({ folder, log }: LocalStoreParts): Promise<void> {
  folder.removeLeftovers();
  const report = await scanStore(folder.path, folder.log, folder.groups, log);
  if (report.damage !== undefined) {
    throw new Error(
      `it is damaged (${report.damage}); move it aside, for instance with "mv ${folder.path} ${folder.path}.damaged", and a new one is begun`,
    );
  }
  if (report.damageOfGroups === undefined) return;
  if (existsSync(folder.log)) {
    log.warn("what the groups have done last is damaged and forgotten; some events are handed out again", {
      store: folder.path,
      damage: report.damageOfGroups,
    });
  }
  rmSync(folder.groups, { recursive: true, force: true });
}

function incoming(consumer: Consumer, { position, attempt }: Claim, record: StoredRecord): IncomingEvent {
  const { data, contentType, metadata } = record;
  return { id: `${position}`, topic: consumer.options.topic, data, contentType, metadata, attempt };
}

/** Undefined for what is no id of ours. */
function positionOf(id: string): number | undefined {
  const position = Number(id);
  return /^[1-9]\d*$/.test(id) && Number.isSafeInteger(position) ? position : undefined;
}
