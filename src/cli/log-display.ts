import type { Logger } from "../core/logger.ts";
import { createLogger, type LogLevel } from "../observability/log.ts";
import type { HostedApp } from "../runtime/hosted-app.ts";
import { outriggerVersion } from "../runtime/version.ts";
import type { RunDisplay } from "./run-apps.ts";
import type { Terminal } from "./terminal.ts";

/** What `outrigger sidecar` shows: log lines, as a container's log wants them. */
export class LogDisplay implements RunDisplay {
  readonly #log: Logger;

  /** @param appId of the one app; on every line of JSON, for people the lines name it. */
  constructor(
    err: Terminal,
    {
      appId,
      logLevel,
      logAsJson,
    }: { readonly appId: string; readonly logLevel: LogLevel; readonly logAsJson: boolean },
  ) {
    this.#log = createLogger({
      level: logLevel,
      json: logAsJson,
      colour: err.colour,
      dated: !err.isTerminal,
      version: outriggerVersion(),
      appId: logAsJson ? appId : undefined,
      write: (line) => {
        err.write(line);
      },
    });
  }

  allStarted(apps: readonly HostedApp[]): void {
    for (const app of apps) {
      const { http, grpc, internal, metrics, public: publicPort } = app.ports;
      const { appPort } = app.spec.settings;
      const places = { http, grpc, internal, public: publicPort, metrics, appPort };
      this.#log.info(`sidecar of ${app.id} is listening`, places);
    }
  }

  started(): void {
    // Told by allStarted: there is one app.
  }

  ready(app: HostedApp): void {
    const { appPort } = app.spec.settings;
    if (appPort !== undefined) this.#log.info(`${app.id} answers`, { appPort });
  }

  line(): undefined {
    // The app is not ours to start, so its lines go elsewhere.
  }

  exited(): void {
    // Nor do we see it end.
  }

  stopping(reason: string): void {
    this.#log.info(`ending: ${reason}`);
  }
}
