import type { Clock } from "../core/clock.ts";
import type { Terminal } from "./terminal.ts";

// People wonder after about two seconds.
const QUIET_MS = 2000;
const INTERVAL_MS = 200;
const ERASE_LINE = "\r\x1b[K";

/** How far a command is that takes long: one line of a terminal, which the next replaces; nothing elsewhere. */
export class Progress {
  readonly #err: Terminal;
  readonly #clock: Pick<Clock, "monotonic">;
  #nextAt: number;
  #isShown = false;

  constructor(err: Terminal, clock: Pick<Clock, "monotonic">) {
    this.#err = err;
    this.#clock = clock;
    this.#nextAt = clock.monotonic() + QUIET_MS;
  }

  show(text: string): void {
    const now = this.#clock.monotonic();
    if (!this.#err.isTerminal || now < this.#nextAt) return;
    this.#nextAt = now + INTERVAL_MS;
    this.#isShown = true;
    this.#err.write(`${ERASE_LINE}${this.#err.paint("dim", text)}`);
  }

  /** Before anything else is written there. */
  clear(): void {
    if (this.#isShown) this.#err.write(ERASE_LINE);
    this.#isShown = false;
  }
}
