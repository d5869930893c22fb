import { CallAbort } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/logger.ts";
import { AppHealth, type HealthChange } from "../invocation/app-health.ts";
import type { StartGate } from "../invocation/start-gate.ts";
import type { HttpAppChannel } from "../transport/app/http-app-channel.ts";
import { HttpAppProbe } from "../transport/app/http-app-probe.ts";
import type { AppHealthSettings } from "./sidecar-settings.ts";

export interface AppHealthWatchParts {
  readonly settings: AppHealthSettings;
  /** Of the probes alone; closed with the watch. */
  readonly channel: HttpAppChannel;
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
    const { settings, channel, clock } = parts;
    const { intervalMs, timeoutMs, threshold } = settings;
    this.#parts = parts;
    this.health = new AppHealth({
      probe: new HttpAppProbe(channel, settings.path),
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
    this.#parts.channel.close();
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
