import type { Logger } from "../core/logger.ts";
import { createLogger, type LogLevel } from "../observability/log.ts";
import type { HostedApp } from "../runtime/hosted-app.ts";
import type { RunDisplay } from "./run-apps.ts";
import type { Terminal } from "./terminal.ts";

/** What `outrigger sidecar` shows: log lines, as a container's log wants them. */
export class LogDisplay implements RunDisplay {
  readonly #log: Logger;

  constructor(err: Terminal, options: { readonly logLevel: LogLevel; readonly logAsJson: boolean }) {
    const write = (line: string): void => {
      err.write(line);
    };
    this.#log = createLogger({ level: options.logLevel, json: options.logAsJson, colour: err.colour, write });
  }

  allStarted(apps: readonly HostedApp[]): void {
    for (const app of apps) {
      const { http, grpc, internal, public: publicPort } = app.ports;
      const { appPort } = app.spec.settings;
      this.#log.info(`sidecar of ${app.id} is listening`, { http, grpc, internal, public: publicPort, appPort });
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
