import { CallAbort } from "../../../core/call-signal.ts";
import type { Clock } from "../../../core/clock.ts";

export interface QueueLimits {
  readonly events: number;
  readonly bytes: number;
  /** How long a publisher waits for room, in milliseconds. */
  readonly patienceMs: number;
}

interface Waiting {
  readonly bytes: number;
  readonly events: number;
  readonly wake: () => void;
  isIn: boolean;
}

/** How much a broker may hold in memory. Publishers wait for room in their order. */
export class QueueRoom {
  readonly #limits: QueueLimits;
  readonly #clock: Clock;
  readonly #waiting: Waiting[] = [];
  readonly #closed = new CallAbort();
  #events = 0;
  #bytes = 0;

  constructor(limits: QueueLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /**
   * Takes room; what is larger than all there is has it as soon as nothing else is held.
   *
   * @throws {Error} where there is none in time, or the broker is closed.
   */
  async take(events: number, bytes: number): Promise<void> {
    if (this.#closed.aborted) throw new Error("the broker is closed");
    if (this.#waiting.length === 0 && this.#hasRoom(events, bytes)) {
      this.#events += events;
      this.#bytes += bytes;
      return;
    }
    await this.#wait(events, bytes);
  }

  giveBack(events: number, bytes: number): void {
    this.#events -= events;
    this.#bytes -= bytes;
    for (;;) {
      const [first] = this.#waiting;
      if (first === undefined || !this.#hasRoom(first.events, first.bytes)) return;
      this.#waiting.shift();
      this.#events += first.events;
      this.#bytes += first.bytes;
      first.wake();
    }
  }

  /** Nobody waits any more. */
  close(): void {
    this.#closed.abort(new Error("the broker was closed while the event waited for room in its queue"));
  }

  #hasRoom(events: number, bytes: number): boolean {
    if (this.#events === 0) return true;
    return this.#events + events <= this.#limits.events && this.#bytes + bytes <= this.#limits.bytes;
  }

  async #wait(events: number, bytes: number): Promise<void> {
    const ended = new CallAbort();
    const waiting: Waiting = {
      events,
      bytes,
      isIn: false,
      wake: () => {
        waiting.isIn = true;
        ended.abort(new Error("there is room"));
      },
    };
    this.#waiting.push(waiting);
    const leave = {
      handleEvent: () => {
        ended.abort(new Error("closed"));
      },
    };
    this.#closed.addEventListener("abort", leave);
    await this.#clock.sleep(this.#limits.patienceMs, ended).catch(() => undefined);
    this.#closed.removeEventListener("abort", leave);
    if (waiting.isIn) return;
    this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
    // Who waited behind it may fit.
    this.giveBack(0, 0);
    if (this.#closed.reason !== undefined) throw this.#closed.reason;
    const seconds = this.#limits.patienceMs / 1000;
    const held = `${this.#events} events with ${this.#bytes} bytes`;
    throw new Error(
      `the queue was full for ${seconds} s: it holds ${held} that subscribers have not done; see why they are slow or fail`,
    );
  }
}
