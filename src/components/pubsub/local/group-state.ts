import { randomInt } from "node:crypto";
import type { ProcessIdentity } from "../../contract/processes.ts";
import type { Verdict } from "../../contract/pubsub.ts";
import { after, dueAtIn, dueKey, inGroup, keyQueueKey, positionIn } from "./keys.ts";
import { type Environment, openTables, type Table } from "./lmdb.ts";

/**
 * Who works on what: for each group of a topic a cursor, and a row for every event before it that is not done. It is shared
 * by all processes and survives their ends, but not a power cut: then the event log says how far each group was (decision 14).
 *
 * An event is one of three things to a group: held by a session, waiting until it is due, or blocked by an earlier one with the
 * same key. What is done has no row.
 */

/** One store that is open, in one process: who holds events. */
export interface Session {
  readonly process: ProcessIdentity;
  /** Milliseconds since the epoch; after it, what the session holds is handed out to others. */
  readonly leaseUntilMs: number;
}

export interface ClaimRequest {
  readonly group: Buffer;
  readonly session: number;
  readonly nowMs: number;
  readonly max: number;
  /** One event in flight in the whole group. */
  readonly isOrdered: boolean;
  /** How many of those in flight belong to the batch that this claim is for. */
  readonly inSameBatch: number;
  /** Positions of events that are kept, from one on. */
  positionsFrom(position: number, limit: number): readonly number[];
  /** Undefined for an event without a key. */
  readonly keyOf: ((position: number) => Buffer | undefined) | undefined;
}

export interface Claim {
  readonly position: number;
  /** How often the event has been handed out, this time included. */
  readonly attempt: number;
}

/** `unseen`: it was claimed, and nobody saw it. `released`: it may have been seen, and is not done. */
export type Outcome = Verdict | "unseen" | "released";

interface Row {
  cursor: number;
  held: number;
  waiting: number;
  blocked: number;
}

interface Pending {
  readonly status: Status;
  readonly holder: number;
  readonly attempt: number;
  readonly dueAtMs: number;
  readonly key: Buffer | undefined;
}

const HELD = 1;
const WAITING = 2;
const BLOCKED = 3;
type Status = typeof HELD | typeof WAITING | typeof BLOCKED;
const NOBODY = 0;

const TABLES = ["sessions", "groups", "pending", "due", "queues"] as const;
const MAP_BYTES = 64 * 1024 ** 2;
// What waits and is blocked; past it, a group gets no new events until some of these are done.
const MAX_NOT_DONE = 10_000;
// Of one claim, so that the lock is not held for long.
const LOOKED_AT_ONCE = 500;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;

/** How long after its n-th failure an event is handed out again. */
function pauseAfter(attempt: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(attempt - 1, 10));
}

export class GroupState {
  readonly #environment: Environment;
  readonly #sessions: Table;
  readonly #groups: Table;
  readonly #pending: Table;
  readonly #due: Table;
  readonly #queues: Table;
  /** Rows of the transaction that is under way. */
  readonly #rows = new Map<string, { key: Buffer; row: Row }>();

  /** @throws what LMDB says. */
  constructor(path: string, mapBytes = MAP_BYTES) {
    const { environment, tables } = openTables({ path, mapBytes, isDurable: false }, TABLES);
    this.#environment = environment;
    this.#sessions = tables.sessions;
    this.#groups = tables.groups;
    this.#pending = tables.pending;
    this.#due = tables.due;
    this.#queues = tables.queues;
  }

  refresh(): void {
    this.#environment.resetReadTxn();
  }

  /** All of what `work` does, or nothing where it throws. The other processes wait meanwhile: it must be quick. */
  transact<Result>(work: () => Result): Result {
    try {
      return this.#environment.transactionSync(() => {
        const result = work();
        for (const { key, row } of this.#rows.values()) this.#groups.putSync(key, encodeRow(row));
        return result;
      });
    } finally {
      this.#rows.clear();
    }
  }

  /** In a transaction, as is everything up to {@link sessions}. @returns its number. */
  addSession(session: Session): number {
    for (;;) {
      const id = randomInt(1, 2 ** 32);
      if (this.#sessions.getBinary(sessionKey(id)) !== undefined) continue;
      this.#putSession(id, session);
      return id;
    }
  }

  /** @returns whether it is still there. */
  renewSession(id: number, session: Session): boolean {
    if (this.#sessions.getBinary(sessionKey(id)) === undefined) return false;
    this.#putSession(id, session);
    return true;
  }

  /** What it holds is to be handed out again at once. */
  endSession(id: number, nowMs: number): void {
    this.#sessions.removeSync(sessionKey(id));
    const held = [...this.#pending.getRange({})].filter(({ value }) => decodePending(value).holder === id);
    for (const { key, value } of held) {
      const group = key.subarray(0, 8);
      this.#row(group).held -= 1;
      this.#wait(group, positionIn(key), { ...decodePending(value), dueAtMs: nowMs });
    }
  }

  /** Makes the group known here. @param floor where it begins if it is not. */
  ensureGroup(group: Buffer, floor: number): void {
    if (this.#groups.getBinary(group) !== undefined) return;
    this.#groups.putSync(group, encodeRow({ cursor: floor, held: 0, waiting: 0, blocked: 0 }));
  }

  claim(request: ClaimRequest): Claim[] {
    const claims: Claim[] = [];
    const row = this.#row(request.group);
    if (request.isOrdered) {
      if (row.held > request.inSameBatch || !this.#claimWaitingInOrder(request, claims)) return claims;
    } else {
      this.#claimDue(request, claims);
    }
    this.#claimNew(request, row, claims);
    return claims;
  }

  /** @returns whether the session still held it in that attempt. */
  settle(group: Buffer, session: number, { position, attempt }: Claim, outcome: Outcome, nowMs: number): boolean {
    const value = this.#pending.getBinary(inGroup(group, position));
    if (value === undefined) return false;
    const pending = decodePending(value);
    if (pending.status !== HELD || pending.holder !== session || pending.attempt !== attempt) return false;
    this.#row(group).held -= 1;
    switch (outcome) {
      case "done":
        this.#done(group, position, pending, nowMs);
        break;
      case "again":
        this.#wait(group, position, { ...pending, dueAtMs: nowMs + pauseAfter(attempt) });
        break;
      case "unseen":
        this.#wait(group, position, { ...pending, attempt: attempt - 1, dueAtMs: nowMs });
        break;
      case "released":
        this.#wait(group, position, { ...pending, dueAtMs: nowMs });
        break;
    }
    return true;
  }

  /** By their numbers. */
  sessions(): Map<number, Session> {
    const all = [...this.#sessions.getRange({})];
    return new Map(all.map(({ key, value }) => [key.readUInt32BE(0), JSON.parse(value.toString()) as Session]));
  }

  /** How the group stands; nothing is changed. */
  look(group: Buffer): { readonly cursor: number; readonly held: number; readonly dueAtMs: number | undefined } {
    const value = this.#groups.getBinary(group);
    const { cursor, held, waiting } = value === undefined ? { cursor: 0, held: 0, waiting: 0 } : decodeRow(value);
    const [first] = waiting === 0 ? [] : [...this.#due.getKeys({ start: group, end: after(group), limit: 1 })];
    return { cursor, held, dueAtMs: first === undefined ? undefined : dueAtIn(first) };
  }

  /** All events before it are done. */
  floor(group: Buffer): number {
    const [first] = [...this.#pending.getKeys({ start: group, end: after(group), limit: 1 })];
    return first === undefined ? this.look(group).cursor : positionIn(first);
  }

  async close(): Promise<void> {
    await this.#environment.close();
  }

  /** @returns whether newer events may follow: nothing waits that is not due. */
  #claimWaitingInOrder(request: ClaimRequest, claims: Claim[]): boolean {
    const { group, nowMs, max } = request;
    const rows = [...this.#pending.getRange({ start: group, end: after(group), limit: max + request.inSameBatch })];
    for (const { key, value } of rows) {
      const pending = decodePending(value);
      if (pending.status === HELD) continue;
      if (claims.length >= max || (pending.status === WAITING && pending.dueAtMs > nowMs)) return false;
      claims.push(this.#take(request, positionIn(key), pending));
    }
    return true;
  }

  #claimDue(request: ClaimRequest, claims: Claim[]): void {
    const { group, nowMs, max } = request;
    if (this.#row(group).waiting === 0) return;
    const due = [...this.#due.getKeys({ start: group, end: dueKey(group, nowMs + 1, 0), limit: max })];
    for (const position of due.map(positionIn)) {
      const value = this.#pending.getBinary(inGroup(group, position));
      if (value !== undefined) claims.push(this.#take(request, position, decodePending(value)));
    }
  }

  #claimNew(request: ClaimRequest, row: Row, claims: Claim[]): void {
    const { group, max, keyOf } = request;
    let looked = 0;
    while (claims.length < max && row.waiting + row.blocked < MAX_NOT_DONE && looked < LOOKED_AT_ONCE) {
      const positions = request.positionsFrom(row.cursor, max - claims.length);
      if (positions.length === 0) return;
      looked += positions.length;
      for (const position of positions) {
        row.cursor = position + 1;
        const key = keyOf?.(position);
        const fresh = { attempt: 0, dueAtMs: 0, holder: NOBODY, key };
        if (key !== undefined && this.#queueUp(group, key, position)) {
          row.blocked += 1;
          this.#putPending(group, position, { ...fresh, status: BLOCKED });
        } else {
          claims.push(this.#take(request, position, { ...fresh, status: HELD }));
        }
      }
    }
  }

  /** @returns whether another one is before it. */
  #queueUp(group: Buffer, key: Buffer, position: number): boolean {
    const isBehind = this.#firstInQueue(group, key) !== undefined;
    this.#queues.putSync(keyQueueKey(group, key, position), ROW_WITHOUT_VALUE);
    return isBehind;
  }

  #firstInQueue(group: Buffer, key: Buffer): number | undefined {
    const range = {
      start: keyQueueKey(group, key, 0),
      end: keyQueueKey(group, key, Number.MAX_SAFE_INTEGER),
      limit: 1,
    };
    const [first] = [...this.#queues.getKeys(range)];
    return first === undefined ? undefined : positionIn(first);
  }

  #take({ group, session }: ClaimRequest, position: number, pending: Pending): Claim {
    this.#leave(group, position, pending);
    this.#row(group).held += 1;
    const attempt = pending.attempt + 1;
    this.#putPending(group, position, { ...pending, status: HELD, holder: session, attempt });
    return { position, attempt };
  }

  #done(group: Buffer, position: number, { key }: Pending, nowMs: number): void {
    this.#pending.removeSync(inGroup(group, position));
    if (key === undefined) return;
    this.#queues.removeSync(keyQueueKey(group, key, position));
    const next = this.#firstInQueue(group, key);
    const value = next === undefined ? undefined : this.#pending.getBinary(inGroup(group, next));
    if (next === undefined || value === undefined) return;
    const pending = decodePending(value);
    if (pending.status !== BLOCKED) return;
    this.#leave(group, next, pending);
    this.#wait(group, next, { ...pending, dueAtMs: nowMs });
  }

  #wait(group: Buffer, position: number, pending: Pending): void {
    this.#row(group).waiting += 1;
    this.#due.putSync(dueKey(group, pending.dueAtMs, position), ROW_WITHOUT_VALUE);
    this.#putPending(group, position, { ...pending, status: WAITING, holder: NOBODY });
  }

  /** Undoes what its status means; one that is held is the caller's. */
  #leave(group: Buffer, position: number, { status, dueAtMs }: Pending): void {
    const row = this.#row(group);
    if (status === BLOCKED) row.blocked -= 1;
    if (status !== WAITING) return;
    row.waiting -= 1;
    this.#due.removeSync(dueKey(group, dueAtMs, position));
  }

  #row(group: Buffer): Row {
    const name = group.toString("latin1");
    const known = this.#rows.get(name);
    if (known !== undefined) return known.row;
    const value = this.#groups.getBinary(group);
    if (value === undefined) throw new Error("the group is not known to the store");
    const row = decodeRow(value);
    this.#rows.set(name, { key: group, row });
    return row;
  }

  #putPending(group: Buffer, position: number, pending: Pending): void {
    this.#pending.putSync(inGroup(group, position), encodePending(pending));
  }

  #putSession(id: number, session: Session): void {
    this.#sessions.putSync(sessionKey(id), Buffer.from(JSON.stringify(session)));
  }
}

const ROW_WITHOUT_VALUE = Buffer.from([1]);

function sessionKey(id: number): Buffer {
  const key = Buffer.allocUnsafe(4);
  key.writeUInt32BE(id, 0);
  return key;
}

function encodeRow({ cursor, held, waiting, blocked }: Row): Buffer {
  const value = Buffer.allocUnsafe(20);
  value.writeDoubleLE(cursor, 0);
  value.writeUInt32LE(held, 8);
  value.writeUInt32LE(waiting, 12);
  value.writeUInt32LE(blocked, 16);
  return value;
}

function decodeRow(value: Buffer): Row {
  return {
    cursor: value.readDoubleLE(0),
    held: value.readUInt32LE(8),
    waiting: value.readUInt32LE(12),
    blocked: value.readUInt32LE(16),
  };
}

function encodePending({ status, holder, attempt, dueAtMs, key }: Pending): Buffer {
  const value = Buffer.allocUnsafe(20 + (key?.length ?? 0));
  value.writeUInt32LE(status, 0);
  value.writeUInt32LE(holder, 4);
  value.writeUInt32LE(attempt, 8);
  value.writeDoubleLE(dueAtMs, 12);
  key?.copy(value, 20);
  return value;
}

function decodePending(value: Buffer): Pending {
  return {
    status: value.readUInt32LE(0) as Status,
    holder: value.readUInt32LE(4),
    attempt: value.readUInt32LE(8),
    dueAtMs: value.readDoubleLE(12),
    // A copy: lmdb may use the bytes again.
    key: value.length === 20 ? undefined : Buffer.from(value.subarray(20)),
  };
}
