import { CallAbort } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";
import { CallError, messageOf } from "../core/errors.ts";
import type { AppProbe } from "./ports.ts";

export interface AppHealthParts {
  readonly probe: AppProbe;
  readonly clock: Clock;
  /** From the beginning of one probe to the next. */
  readonly intervalMs: number;
  /** What a probe may take; no longer than the interval, so that there is one at a time. */
  readonly timeoutMs: number;
  /** Failures in a row that make the app unhealthy. */
  readonly threshold: number;
}

/** With what was wrong in the last probe, where the app has become unhealthy. */
export type HealthChange = { readonly healthy: true } | { readonly healthy: false; readonly reason: string };

/**
 * Whether the app is well, by asking it (`--enable-app-health-check`). Not until it first says so; then until it fails
 * to as often as the threshold says, one after the other; then once it says so again.
 */
export class AppHealth {
  readonly #parts: AppHealthParts;
  readonly #listeners: ((change: HealthChange) => void)[] = [];
  readonly #stopped = new CallAbort();
  #state: "starting" | "healthy" | "unhealthy" = "starting";
  /** In a row. */
  #failures = 0;
  #asking: CallAbort | undefined;

  constructor(parts: AppHealthParts) {
    this.#parts = parts;
  }

  get isHealthy(): boolean {
    return this.#state === "healthy";
  }

  /**
   * Tells of every change from now on, when it has happened, and where the app has never been healthy, once that it is
   * not. What listens must not throw.
   */
  onChange(listener: (change: HealthChange) => void): void {
    this.#listeners.push(listener);
  }

  /** Asks at once, and then every interval until `stop`. To be called once. */
  start(): void {
    void this.#run();
  }

  /** Leaves the state as it is. May be called twice, and before `start`. */
  stop(): void {
    const reason = new Error("the app is not probed any more");
    this.#stopped.abort(reason);
    this.#asking?.abort(reason);
  }

  async #run(): Promise<void> {
    const { clock, intervalMs } = this.#parts;
    while (!this.#stopped.aborted) {
      const begun = clock.monotonic();
      this.#record(await this.#ask());
      // After a pause of the whole process, one probe is late, and none is made up for.
      const rest = Math.max(0, begun + intervalMs - clock.monotonic());
      await clock.sleep(rest, this.#stopped).catch(() => undefined);
    }
  }

  /** @returns what is wrong; undefined where nothing is. */
  async #ask(): Promise<string | undefined> {
    const { probe, clock, timeoutMs } = this.#parts;
    const asking = new CallAbort();
    this.#asking = asking;
    // Fires although the app may have answered: the rest of an answer that never ends is cut off with it.
    const late = clock.sleep(timeoutMs, asking).then(() => {
      const reason = `no answer within ${timeoutMs} ms`;
      asking.abort(new Error(reason));
      return reason;
    });
    try {
      return await Promise.race([probe.ask(asking), late]);
    } catch (error) {
      return messageOf(error);
    }
  }

  #record(reason: string | undefined): void {
    if (this.#stopped.aborted) return;
    this.#failures = reason === undefined ? 0 : this.#failures + 1;
    if (reason === undefined) {
      if (this.#state !== "healthy") this.#enter("healthy", { healthy: true });
    } else if (this.#failures >= this.#parts.threshold && this.#state !== "unhealthy") {
      this.#enter("unhealthy", { healthy: false, reason });
    }
  }

  #enter(state: "healthy" | "unhealthy", change: HealthChange): void {
    this.#state = state;
    for (const listener of this.#listeners) listener(change);
  }
}

/** What a call to an app that is not healthy fails with, in daprd's words (A2). Nothing retries it by itself. */
export function appUnhealthy(): CallError {
  return new CallError("Internal", "app is not in a healthy state", { nothingSent: true });
}
