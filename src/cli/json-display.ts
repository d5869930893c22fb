import type { Logger } from "../core/logger.ts";
import type { LogScope } from "../observability/log.ts";
import type { HostedApp } from "../runtime/hosted-app.ts";
import { outriggerVersion } from "../runtime/version.ts";
import { jsonRecords } from "./json-records.ts";
import type { RunDisplay } from "./run-apps.ts";
import type { Terminal } from "./terminal.ts";
import { WaitNotices } from "./wait-notices.ts";

/**
 * What `outrigger run --log-as-json` shows: as much as without it, each line a record, the apps' own too (`scope` is `app`),
 * so that whatever reads the output as JSON can read all of it.
 */
export class JsonDisplay implements RunDisplay {
  readonly #out: Terminal;
  readonly #err: Terminal;
  readonly #recorders = new Map<string, Logger>();
  /** What the last record that was written asks a source of more to wait for. */
  #pace: Promise<void> | undefined;
  readonly #notices = new WaitNotices((app, text) => {
    this.#log(app).warn(text);
  });

  constructor(out: Terminal, err: Terminal) {
    this.#out = out;
    this.#err = err;
  }

  allStarted(apps: readonly HostedApp[]): void {
    for (const app of apps) {
      const { http, grpc, internal, metrics, public: publicPort } = app.ports;
      const { appPort, command, origin } = app.spec.settings;
      const { appLog, sidecarLog } = origin ?? {};
      const places = { http, grpc, internal, public: publicPort, metrics, appPort, command, appLog, sidecarLog };
      const fields = { ...places, pid: process.pid, version: outriggerVersion() };
      this.#log(app).info(`sidecar of ${app.id} is listening`, fields);
    }
  }

  started(app: HostedApp): void {
    this.#notices.begin(app);
  }

  ready(app: HostedApp): void {
    this.#notices.end(app);
    const { appPort } = app.spec.settings;
    if (appPort !== undefined) this.#log(app).info(`${app.id} answers`, { appPort });
  }

  line(app: HostedApp, line: string, stream: "stdout" | "stderr"): Promise<void> | undefined {
    // Of what weight a line is, only the app knows.
    this.#recorder(stream, "app", app.id).info(line);
    return this.#pace;
  }

  exited(app: HostedApp, code: number): void {
    this.#notices.end(app);
    const text = `${app.id} ended by itself`;
    if (code === 0) this.#log(app).info(text, { exitCode: code });
    else this.#log(app).error(text, { exitCode: code });
  }

  stopping(reason: string): void {
    this.#notices.endAll();
    this.#recorder("stdout", "outrigger").info(`ending: ${reason}`);
  }

  #log(app: HostedApp): Logger {
    return this.#recorder("stdout", "outrigger", app.id);
  }

  #recorder(stream: "stdout" | "stderr", scope: LogScope, appId?: string): Logger {
    const key = [stream, scope, appId].join(" ");
    const known = this.#recorders.get(key);
    if (known !== undefined) return known;
    const terminal = stream === "stdout" ? this.#out : this.#err;
    const write = (text: string): void => {
      this.#pace = terminal.writePaced(text);
    };
    const recorder = jsonRecords({ write }, scope, appId);
    this.#recorders.set(key, recorder);
    return recorder;
  }
}
