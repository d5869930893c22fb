import type { Clock } from "../../core/clock.ts";
import type { Logger } from "../../core/logger.ts";

// A flood of them must not become a flood of lines.
const QUIET_MS = 1000;

/** Counts the answers of one origin that broke the rules of HTTP, and warns of them, at most once a second. */
export class MalformedAnswers {
  readonly #origin: string;
  readonly #clock: Clock;
  readonly #log: Logger;
  #count = 0;
  #warnedAt = Number.NEGATIVE_INFINITY;

  constructor(origin: string, clock: Clock, log: Logger) {
    this.#origin = origin;
    this.#clock = clock;
    this.#log = log;
  }

  get count(): number {
    return this.#count;
  }

  /** One more. `reason` says what was wrong with it. */
  note(reason: string): void {
    this.#count++;
    const now = this.#clock.monotonic();
    if (now - this.#warnedAt < QUIET_MS) return;
    this.#warnedAt = now;
    this.#log.warn("an answer was malformed", { origin: this.#origin, reason, malformedAnswers: this.#count });
  }
}
