import { statSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, SetupError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import { createLogger, type LogScope } from "../observability/log.ts";
import { LogFile, type LogFileOptions } from "../observability/log-file.ts";
import type { LogDestination } from "../resources/run-file.ts";
import type { HostedApp } from "../runtime/hosted-app.ts";
import { outriggerVersion } from "../runtime/version.ts";
import { localTimeParts } from "./local-time.ts";
import type { RunDisplay, SidecarLogs } from "./run-apps.ts";
import type { Terminal } from "./terminal.ts";

/**
 * The log files of a run file's apps: what an app prints in one, what its sidecar says of it and its calls in another.
 * Stands before the display, and lets through what is for the console too.
 */

export interface LogPlan {
  readonly appId: string;
  /** The files lie in `.dapr/logs` of this directory, as those of Dapr's CLI. */
  readonly appDirPath: string;
  readonly app: LogDestination;
  readonly sidecar: LogDestination;
}

export interface LogPlace {
  readonly display: RunDisplay;
  readonly out: Terminal;
  readonly err: Terminal;
  readonly logAsJson: boolean;
}

/** The files of one app; undefined where its lines go to the console alone. */
interface AppFiles {
  readonly plan: LogPlan;
  app: LogFile | undefined;
  sidecar: LogFile | undefined;
  /** Writes the app's lines as records, with --log-as-json. */
  records: Logger | undefined;
  /** Known from its first line on. */
  hosted: HostedApp | undefined;
}

export class LogFiles implements RunDisplay, SidecarLogs {
  readonly #place: LogPlace;
  readonly #files = new Map<string, AppFiles>();
  /** What the last record that was written asks its source to wait for. */
  #pace: Promise<void> | undefined;

  /**
   * Makes the files that `plans` ask for, named with the time `startedAtMs`.
   *
   * @throws {SetupError} naming the app and the folder, where one cannot be made. What was made until then stays, empty.
   */
  static async create(plans: readonly LogPlan[], startedAtMs: number, place: LogPlace): Promise<LogFiles> {
    const files = new LogFiles(place);
    // As Dapr's CLI writes it: 20261121134501.
    const stamp = localTimeParts(startedAtMs).join("");
    try {
      for (const plan of plans) await files.#add(plan, stamp);
      return files;
    } catch (error) {
      await files.close();
      throw error;
    }
  }

  private constructor(place: LogPlace) {
    this.#place = place;
  }

  /** Where the lines of this app stand. */
  pathsOf(appId: string): { readonly appLog: string | undefined; readonly sidecarLog: string | undefined } {
    const files = this.#files.get(appId);
    return { appLog: files?.app?.path, sidecarLog: files?.sidecar?.path };
  }

  /** Waits until all that was said is written. */
  async close(): Promise<void> {
    for (const { app, sidecar } of this.#files.values()) await Promise.all([app?.close(), sidecar?.close()]);
  }

  write(appId: string, text: string, terminal: Terminal): void {
    const files = this.#files.get(appId);
    if (files === undefined || isShown(files.plan.sidecar)) terminal.write(text);
    void files?.sidecar?.write(text);
  }

  allStarted(apps: readonly HostedApp[]): void {
    this.#place.display.allStarted(apps);
    for (const app of apps) {
      const { http, grpc, internal } = app.ports;
      const { appPort, command } = app.spec.settings;
      const fields = { http, grpc, internal, appPort, command, pid: process.pid };
      this.#logOf(app.id)?.info(`sidecar of ${app.id} is listening`, fields);
    }
  }

  started(app: HostedApp): void {
    this.#place.display.started(app);
  }

  ready(app: HostedApp): void {
    this.#place.display.ready(app);
    const { appPort } = app.spec.settings;
    if (appPort !== undefined) this.#logOf(app.id)?.info(`${app.id} answers`, { appPort });
  }

  line(app: HostedApp, line: string, stream: "stdout" | "stderr"): Promise<void> | undefined {
    const files = this.#files.get(app.id);
    if (files?.app === undefined) return this.#place.display.line(app, line, stream);
    files.hosted = app;
    const shown = isShown(files.plan.app) ? this.#place.display.line(app, line, stream) : undefined;
    const written = this.#writeLine(files.app, files.records, line);
    if (shown === undefined || written === undefined) return shown ?? written;
    return Promise.all([shown, written]).then(() => undefined);
  }

  exited(app: HostedApp, code: number): void {
    this.#place.display.exited(app, code);
    const log = this.#logOf(app.id);
    const text = `${app.id} ended by itself`;
    if (code === 0) log?.info(text, { exitCode: code });
    else log?.error(text, { exitCode: code });
  }

  stopping(reason: string): void {
    this.#place.display.stopping(reason);
    for (const appId of this.#files.keys()) this.#logOf(appId)?.info(`ending: ${reason}`);
  }

  async #add(plan: LogPlan, stamp: string): Promise<void> {
    const files: AppFiles = { plan, app: undefined, sidecar: undefined, records: undefined, hosted: undefined };
    this.#files.set(plan.appId, files);
    if (plan.app !== "console") {
      files.app = await createIn(plan, `app_${stamp}`, this.#options(files, "app"));
      files.records = this.#place.logAsJson ? this.#loggerTo(files.app, plan.appId, "app") : undefined;
    }
    if (plan.sidecar !== "console")
      files.sidecar = await createIn(plan, `daprd_${stamp}`, this.#options(files, "sidecar"));
  }

  #options(files: AppFiles, which: "app" | "sidecar"): LogFileOptions {
    const shown = isShown(files.plan[which]);
    return {
      onFailure: (error) => {
        const elsewhere = shown ? "its lines go to the console alone" : "its lines are shown here";
        const { err, logAsJson } = this.#place;
        const write = (text: string): void => {
          err.write(text);
        };
        createLogger({
          ...{ level: "warn", json: logAsJson, colour: err.colour, dated: !err.isTerminal },
          version: outriggerVersion(),
          appId: files.plan.appId,
          write,
        }).warn(`cannot write ${files[which]?.path ?? "the log"}: ${error.message}; from now on ${elsewhere}`);
      },
      instead: (text) => {
        if (shown) return undefined;
        if (which === "sidecar") return this.#place.err.writePaced(text);
        if (this.#place.logAsJson || files.hosted === undefined) return this.#place.out.writePaced(text);
        return this.#place.display.line(files.hosted, text.replace(/\n$/, ""), "stdout");
      },
    };
  }

  #writeLine(file: LogFile, records: Logger | undefined, line: string): Promise<void> | undefined {
    if (records === undefined) return file.write(`${line}\n`);
    records.info(line);
    return this.#pace;
  }

  #logOf(appId: string): Logger | undefined {
    const file = this.#files.get(appId)?.sidecar;
    return file === undefined ? undefined : this.#loggerTo(file, appId, "outrigger");
  }

  #loggerTo(file: LogFile, appId: string, scope: LogScope): Logger {
    const write = (text: string): void => {
      this.#pace = file.write(text);
    };
    return createLogger({
      ...{ level: "info", json: this.#place.logAsJson, colour: false, dated: true },
      version: outriggerVersion(),
      appId,
      scope,
      write,
    });
  }
}

function isShown(destination: LogDestination): boolean {
  return destination !== "file";
}

/** A file of its own, also where two runs begin in one second. @throws {SetupError} */
async function createIn({ appId, appDirPath }: LogPlan, name: string, options: LogFileOptions): Promise<LogFile> {
  const folder = join(appDirPath, ".dapr", "logs");
  if (statSync(appDirPath, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new SetupError(`the directory of ${appId} is not there: ${appDirPath}; set its appDirPath in the run file`);
  }
  try {
    // One after the other: the app's own directory is not Outrigger's to make.
    for (const path of [join(appDirPath, ".dapr"), folder]) await makeFolder(path);
    for (let count = 1; ; count++) {
      const path = join(folder, `${appId}_${name}${count === 1 ? "" : `_${count}`}.log`);
      const file = await LogFile.create(path, options).catch(unlessTaken);
      if (file !== undefined) return file;
    }
  } catch (cause) {
    const why = messageOf(cause);
    throw new SetupError(
      `cannot write the log of ${appId} in ${folder}: ${why}; make the directory writable, or set the log destination in the run file to console`,
      { cause },
    );
  }
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    // What is there and no directory is told by what is made in it.
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

function unlessTaken(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
}
