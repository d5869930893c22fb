import { CallAbort } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/logger.ts";
import { AppHealth, type HealthChange } from "../invocation/app-health.ts";
import type { AppProbe } from "../invocation/ports.ts";
import type { StartGate } from "../invocation/start-gate.ts";
import type { AppHealthSettings } from "./sidecar-settings.ts";

/** A probe and the connection that is its own. */
export interface ClosableProbe extends AppProbe {
  close(): void;
}

export interface AppHealthWatchParts {
  readonly settings: AppHealthSettings;
  /** Closed with the watch. */
  readonly probe: ClosableProbe;
  readonly gate: StartGate;
  /** How long calls to an app that has just started are held back, for it to become healthy. */
  readonly startPatienceMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The health of one Sidecar's app: asked about, logged, and what opens the gate for its first calls. */
export class AppHealthWatch {
  readonly health: AppHealth;
  readonly #parts: AppHealthWatchParts;
  readonly #closed = new CallAbort();

  constructor(parts: AppHealthWatchParts) {
    const { settings, probe, clock } = parts;
    const { intervalMs, timeoutMs, threshold } = settings;
    this.#parts = parts;
    this.health = new AppHealth({
      probe,
      clock,
      intervalMs,
      timeoutMs,
      threshold,
    });
    this.health.onChange((change) => {
      this.#changed(change);
    });
  }

  /** The app's port answers. */
  start(): void {
    const { clock, gate, startPatienceMs } = this.#parts;
    this.health.start();
    const open = (): void => {
      gate.open();
    };
    void clock.sleep(startPatienceMs, this.#closed).then(open, () => undefined);
  }

  /** May be called twice. */
  close(): void {
    this.#closed.abort(new Error("the sidecar is ending"));
    this.health.stop();
    this.#parts.probe.close();
  }

  #changed(change: HealthChange): void {
    const { gate, log } = this.#parts;
    if (change.healthy) {
      gate.open();
      log.info("the app is healthy; it gets calls");
    } else {
      log.warn("the app is not healthy; calls to it are refused until a probe succeeds", { reason: change.reason });
    }
  }
}
