import { Cluster, Redis } from "ioredis";
import { type AbortListener, abortReason, CallAbort } from "../../../core/call-signal.ts";
import { type Clock, LONGEST_TIMER_MS } from "../../../core/clock.ts";
import type { Logger } from "../../../core/logger.ts";
import type { RedisSettings } from "./settings.ts";

type Client = Redis | Cluster;
type Argument = string | number | Buffer;

const FIRST_RECONNECT_MS = 50;
const LONGEST_RECONNECT_MS = 5000;

/** Where a Redis is, for logs: never who logs in. */
export function placeOf({ hosts, sentinel }: RedisSettings): string {
  const names = hosts
    .map(({ host, port }) => (host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`))
    .join(", ");
  return sentinel === undefined ? names : `master ${sentinel.master} of the sentinels ${names}`;
}

/**
 * One connection to Redis, or to a cluster of them, that is made again when it is lost. Commands wait for it for a bounded
 * time, and one that was under way when it was lost fails.
 */
export class RedisConnection {
  readonly #client: Client;
  readonly #settings: RedisSettings;
  readonly #clock: Clock;
  readonly #closed = new CallAbort();
  readonly #waiters = new Set<CallAbort>();
  #lastError: Error | undefined;
  #isReady = false;

  /** @param onChange told when the connection is ready, and when it is lost or could not be made. */
  constructor(settings: RedisSettings, clock: Clock, onChange: (isReady: boolean, error: Error | undefined) => void) {
    this.#settings = settings;
    this.#clock = clock;
    this.#client = clientOf(settings);
    this.#client.on("ready", () => {
      this.#isReady = true;
      this.#lastError = undefined;
      this.#wakeWaiters();
      onChange(true, undefined);
    });
    this.#client.on("error", (error: Error) => {
      this.#lastError = rootOf(error);
    });
    const lost = (): void => {
      this.#isReady = false;
      if (!this.#closed.aborted) onChange(false, this.#lastError);
    };
    this.#client.on("close", lost);
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  /**
   * @throws {Error} where that is not possible at once, takes longer than `dialTimeout`, or it is closed meanwhile. It goes on
   *   trying until closed.
   */
  async connect(): Promise<void> {
    const { dialTimeoutMs } = this.#settings;
    try {
      await this.#within(this.#client.connect(), dialTimeoutMs, () => {
        return new Error(`no answer in ${dialTimeoutMs} ms`);
      });
    } catch (error) {
      throw this.#lastError ?? rootOf(error);
    }
  }

  /**
   * Sends a command, without patience for one that is answered late.
   *
   * @param blocksMs how long the command itself may take.
   * @throws {Error} what Redis said, or what became of the connection. The command may have been carried out all the same.
   */
  async send(command: string, args: readonly Argument[], blocksMs = 0): Promise<unknown> {
    return this.#whenReady(() => {
      return this.#answered(this.#client.callBuffer(command, [...args]), blocksMs);
    });
  }

  /** As {@link send}, again as often as the settings have it where the connection fails. */
  async sendAgain(command: string, args: readonly Argument[]): Promise<unknown> {
    const { maxRetries, minRetryMs, maxRetryMs } = this.#settings;
    for (let retry = 0; ; retry++) {
      try {
        return await this.send(command, args);
      } catch (error) {
        if (retry >= maxRetries || this.#closed.aborted || !mayBeOver(error)) throw error;
        await this.#clock.sleep(Math.min(minRetryMs * 2 ** retry, maxRetryMs), this.#closed);
      }
    }
  }

  /** Sends all of them at once. @returns what went wrong with each, by its place; undefined where nothing did. */
  async sendAll(commands: readonly (readonly Argument[])[]): Promise<(Error | undefined)[]> {
    const results = await this.#whenReady(async () => {
      const all = await this.#answered(this.#client.pipeline(commands.map((command) => [...command])).exec(), 0);
      const [first] = all ?? [];
      if (first?.[0] instanceof Error && wasNotSent(first[0])) throw first[0];
      return all;
    });
    return commands.map((_, at) => {
      const result = results?.[at];
      if (result === undefined) return new Error("Redis gave no answer");
      return result[0] === null ? undefined : this.#toldOf(result[0]);
    });
  }

  /** Waits for the connection. Where it is found lost before anything was sent, waits for it once more. */
  async #whenReady<T>(send: () => Promise<T>): Promise<T> {
    await this.#ready();
    try {
      return await send();
    } catch (error) {
      if (!wasNotSent(error)) throw error;
      // Its end is about to be told.
      this.#isReady = false;
      await this.#ready();
      return send();
    }
  }

  /** @throws {Error} where the connection is not there in time. */
  async #ready(): Promise<void> {
    if (this.#isReady) return;
    if (this.#closed.reason !== undefined) throw this.#closed.reason;
    const { waitForConnectionMs } = this.#settings;
    const waiter = new CallAbort();
    this.#waiters.add(waiter);
    await this.#clock.sleep(waitForConnectionMs, waiter).catch(() => undefined);
    this.#waiters.delete(waiter);
    if (this.#closed.aborted) throw abortReason(this.#closed);
    // By now: it may have been lost again.
    if (waiter.aborted) return;
    const why = this.#lastError === undefined ? "" : `: ${this.#lastError.message}`;
    throw new Error(`there is no connection to Redis at ${placeOf(this.#settings)}${why}`);
  }

  #wakeWaiters(): void {
    for (const waiter of this.#waiters) waiter.abort(new Error("the connection is there, or closed"));
  }

  /** May be called twice. What is under way fails. */
  close(): void {
    if (this.#closed.aborted) return;
    this.#closed.abort(new Error("the connection to Redis is closed"));
    this.#isReady = false;
    this.#wakeWaiters();
    this.#client.disconnect();
  }

  async #answered<T>(answer: Promise<T>, blocksMs: number): Promise<T> {
    const { readTimeoutMs } = this.#settings;
    const ms = readTimeoutMs === undefined ? undefined : readTimeoutMs + blocksMs;
    try {
      return await this.#within(answer, ms, () => this.#noAnswer(ms ?? 0));
    } catch (error) {
      throw this.#toldOf(error);
    }
  }

  /** ioredis tells of its own settings where a connection ends under a command. */
  #toldOf(error: unknown): Error {
    const cause = rootOf(error);
    const isLost = cause.name === "MaxRetriesPerRequestError" || cause.message === "Connection is closed.";
    if (!isLost) return cause;
    return new Error(`the connection to Redis at ${placeOf(this.#settings)} was lost before it answered`, { cause });
  }

  /** A connection that answers nothing is given up: a further command would wait behind the first. */
  #noAnswer(ms: number): Error {
    if (this.#client instanceof Redis && !this.#closed.aborted) this.#client.disconnect(true);
    return new Error(`Redis at ${placeOf(this.#settings)} gave no answer in ${ms} ms`);
  }

  /** @param ms undefined: until the connection is closed. @throws {Error} what `work` does, `late`, or that it is closed. */
  async #within<T>(work: Promise<T>, ms: number | undefined, late: () => Error): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    let closed: AbortListener | undefined;
    const limit = new Promise<never>((_, reject) => {
      const giveUp = (): void => {
        reject(late());
      };
      if (ms !== undefined) timer = setTimeout(giveUp, Math.min(ms, LONGEST_TIMER_MS));
      closed = {
        handleEvent: () => {
          reject(abortReason(this.#closed));
        },
      };
      this.#closed.addEventListener("abort", closed);
    });
    try {
      return await Promise.race([work, limit]);
    } finally {
      clearTimeout(timer);
      if (closed !== undefined) this.#closed.removeEventListener("abort", closed);
      // It may fail when nobody listens any more.
      work.catch(() => undefined);
    }
  }
}

export interface OutageLogParts {
  /** Its name. */
  readonly component: string;
  readonly place: string;
  readonly log: Logger;
  readonly clock: Clock;
}

/** Says once of each outage that it is there, and that it is over. */
export class OutageLog {
  readonly #parts: OutageLogParts;
  #since: number | undefined;

  constructor(parts: OutageLogParts) {
    this.#parts = parts;
  }

  changed(isReady: boolean, error: Error | undefined): void {
    const { component, place, log, clock } = this.#parts;
    if (isReady) {
      if (this.#since === undefined) return;
      const seconds = Math.round((clock.monotonic() - this.#since) / 1000);
      this.#since = undefined;
      log.info(`connected to Redis at ${place} again after ${seconds} s`, { component });
    } else if (this.#since === undefined) {
      this.#since = clock.monotonic();
      const why = error === undefined ? "" : `: ${error.message}`;
      log.warn(`lost the connection to Redis at ${place}${why}; it is tried again until it is there`, { component });
    }
  }
}

/** ioredis says so, in these words alone, where there was nothing to write to. */
function wasNotSent(error: unknown): boolean {
  return error instanceof Error && error.message.includes("enableOfflineQueue options is false");
}

/** Whether a failure is about the connection, or about a Redis that is on its way up or changes its role. */
function mayBeOver(error: unknown): boolean {
  if (!(error instanceof Error) || error.name !== "ReplyError") return true;
  return /^(?:LOADING|READONLY|CLUSTERDOWN|TRYAGAIN|MASTERDOWN|NOREPLICAS)/.test(error.message);
}

/** The error of the node behind that of the cluster. */
function rootOf(error: unknown): Error {
  if (!(error instanceof Error)) return new Error(String(error));
  const last = "lastNodeError" in error ? error.lastNodeError : undefined;
  if (last instanceof Error) return last;
  // Several addresses of one name that all failed.
  if (error instanceof AggregateError && error.errors[0] instanceof Error) return error.errors[0];
  return error;
}

function clientOf(settings: RedisSettings): Client {
  const { hosts, kind, sentinel, username, password, db, tls, dialTimeoutMs } = settings;
  const reconnectMs = (times: number): number => Math.min(FIRST_RECONNECT_MS * 2 ** (times - 1), LONGEST_RECONNECT_MS);
  const common = {
    protocol: 2 as const,
    connectTimeout: Math.min(dialTimeoutMs, LONGEST_TIMER_MS),
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    // After a failover the old master refuses to write: the connection must go to the new one.
    reconnectOnError: (error: Error) => error.message.startsWith("READONLY"),
    disableClientInfo: true,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls: { ...tls } }),
  };
  if (kind === "cluster") {
    return new Cluster([...hosts], {
      lazyConnect: true,
      enableOfflineQueue: false,
      clusterRetryStrategy: reconnectMs,
      redisOptions: common,
    });
  }
  // What waits, and how long, is decided here and not in a queue of the client's.
  const node = { ...common, db, enableOfflineQueue: false, retryStrategy: reconnectMs };
  if (sentinel !== undefined) {
    return new Redis({
      ...node,
      sentinels: [...hosts],
      name: sentinel.master,
      sentinelRetryStrategy: reconnectMs,
      ...(sentinel.username === undefined ? {} : { sentinelUsername: sentinel.username }),
      ...(sentinel.password === undefined ? {} : { sentinelPassword: sentinel.password }),
      ...(tls === undefined ? {} : { enableTLSForSentinelMode: true, sentinelTLS: { ...tls } }),
    });
  }
  return new Redis({ ...node, ...hosts[0] });
}
