import type { CallObserver, CallRecord } from "../core/call-observer.ts";
import type { Logger } from "../core/logger.ts";
import { CallLog } from "../observability/call-log.ts";
import { CallStory } from "../observability/call-story.ts";
import { createLogger, type LogLevel } from "../observability/log.ts";
import { openHome } from "../runtime/home.ts";
import { Host } from "../runtime/host.ts";
import { HostedApp, type HostedAppEvents, type HostedAppSpec } from "../runtime/hosted-app.ts";
import { systemClock } from "../runtime/system-clock.ts";
import { outriggerVersion } from "../runtime/version.ts";
import { httpCodecFrom } from "./http-codec.ts";
import { jsonRecords } from "./json-records.ts";
import type { Terminal } from "./terminal.ts";

export interface RunOptions {
  readonly specs: readonly HostedAppSpec[];
  readonly env: NodeJS.ProcessEnv;
  readonly logLevel: LogLevel;
  /** Of apps that have one of their own, by id. */
  readonly appLogLevels?: ReadonlyMap<string, LogLevel>;
  readonly logAsJson: boolean;
  /** A line for every call. */
  readonly story: boolean;
  /** End after the first call that an app answered. */
  readonly once: boolean;
  /** Known before anything started, told once there is a logger. */
  readonly warnings: readonly string[];
  /** Where the apps of a run file have logs of their own. */
  readonly logs?: SidecarLogs;
}

/** Where what is said of one app goes: to its log, the terminal, or both. */
export interface SidecarLogs {
  write(appId: string, text: string, terminal: Terminal): void;
  /** Resolves once all of it is written. */
  close(): Promise<void>;
}

/** What is shown of a run besides the log; `run` has much to show, `sidecar` little. */
export interface RunDisplay extends HostedAppEvents {
  /** Every sidecar is bound and can be found; no app has been started yet. */
  allStarted(apps: readonly HostedApp[]): void;
  stopping(reason: string): void;
}

const SIGNAL_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
// So that the caller gets to say what it was answered before it is ended.
const ONCE_DELAY_MS = 300;

type StopSignal = keyof typeof SIGNAL_CODES;

/**
 * Runs apps in this process until they have ended, or a signal has ended them.
 *
 * @returns the exit code: the first of the apps' that is not 0; 0 where they were told to end.
 * @throws {SetupError} where something could not start; then nothing is left running.
 */
export async function runApps(options: RunOptions, display: RunDisplay, out: Terminal, err: Terminal): Promise<number> {
  const { logs } = options;
  const version = outriggerVersion();
  // daprd says on every line whose sidecar it is; where there are several, what concerns all is nobody's.
  const [first, second] = options.specs;
  const onlyApp = options.logAsJson && second === undefined ? first?.settings.app.id : undefined;
  const logFor = (appId?: string, scope?: string): Logger =>
    createLogger({
      level: options.appLogLevels?.get(appId ?? "") ?? options.logLevel,
      json: options.logAsJson,
      colour: err.colour,
      // A log of its own is a file.
      dated: !err.isTerminal || (logs !== undefined && appId !== undefined),
      version,
      appId: appId ?? onlyApp,
      ...(scope === undefined ? {} : { scope }),
      write: (line) => {
        if (logs === undefined || appId === undefined) err.write(line);
        else logs.write(appId, line, err);
      },
    });
  // What is in common is in common to all apps, and said once.
  for (const warning of new Set(options.warnings)) logFor().warn(warning);
  const observer = new RunObserver(options.story ? storyOn(out, options.logAsJson, logs) : undefined);
  const host = new Host({
    home: openHome(options.env),
    clock: systemClock,
    codec: httpCodecFrom(options.env),
    observer,
    appPorts: new Set(options.specs.flatMap(({ settings: { appPort } }) => appPort ?? [])),
    logFor,
  });
  const apps = options.specs.map((spec) => new HostedApp(spec, host, systemClock, display));
  const stopping = new AbortController();
  const stopAll = async (signal: NodeJS.Signals, reason: string): Promise<void> => {
    stopping.abort();
    display.stopping(reason);
    // All finish their calls before any app ends: a call under way may lead from one to another.
    await Promise.all(apps.map((app) => app.finishInbound()));
    await Promise.all(apps.map((app) => app.finishOutbound()));
    await Promise.all(apps.map((app) => app.stop(signal)));
  };
  if (options.once) {
    observer.onFirstAnswer = () => {
      setTimeout(() => void stopAll("SIGTERM", "the first call was answered"), ONCE_DELAY_MS);
    };
  }
  const signals = listenForSignals(stopAll, (code) => Promise.all(apps.map((app) => app.kill(code))));
  try {
    await host.start();
    for (const app of apps) await app.start();
    if (!stopping.signal.aborted) display.allStarted(apps);
    for (const app of apps) await app.launch();
    return await firstFailure(apps);
  } catch (error) {
    await Promise.all(apps.map((app) => app.kill(1)));
    throw error;
  } finally {
    signals.close();
    await host.close();
    await logs?.close();
  }
}

function storyOn(out: Terminal, asJson: boolean, logs: SidecarLogs | undefined): CallObserver {
  const storyTo = (write: (line: string) => void): CallObserver =>
    asJson
      ? new CallLog(jsonRecords({ write }))
      : new CallStory({ colour: out.colour, dated: !out.isTerminal || logs !== undefined, write });
  if (logs !== undefined) {
    return new StoryByApp((appId) =>
      storyTo((line) => {
        logs.write(appId, line, out);
      }),
    );
  }
  return storyTo((line) => {
    out.write(line);
  });
}

/** Tells each call where its app's sidecar tells things: who calls for those sent, who is called for those received. */
class StoryByApp implements CallObserver {
  readonly #storyOf: (appId: string) => CallObserver;
  readonly #stories = new Map<string, CallObserver>();

  constructor(storyOf: (appId: string) => CallObserver) {
    this.#storyOf = storyOf;
  }

  callEnded(call: CallRecord): void {
    const appId = call.direction === "sent" ? (call.caller?.id ?? call.target) : call.target;
    let story = this.#stories.get(appId);
    if (story === undefined) {
      story = this.#storyOf(appId);
      this.#stories.set(appId, story);
    }
    story.callEnded(call);
  }
}

/** Waits for all; the code that counts is that of the first app to end with one that is not 0. */
async function firstFailure(apps: readonly HostedApp[]): Promise<number> {
  let failure = 0;
  const note = async (app: HostedApp): Promise<void> => {
    const code = await app.ended;
    if (failure === 0) failure = code;
  };
  await Promise.all(apps.map(note));
  return failure;
}

/** The first signal ends everything in order, the second at once. */
function listenForSignals(
  stop: (signal: NodeJS.Signals, reason: string) => Promise<void>,
  kill: (code: number) => Promise<unknown>,
): { close(): void } {
  let first = true;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (first) void stop(signal, `${signal} received; a second one ends everything at once`);
    else void kill(SIGNAL_CODES[signal as StopSignal]);
    first = false;
  };
  const names = Object.keys(SIGNAL_CODES) as StopSignal[];
  for (const name of names) process.on(name, onSignal);
  return {
    close: () => {
      for (const name of names) process.off(name, onSignal);
    },
  };
}

/** Tells the story where one is wanted, and when the first call has been answered. */
class RunObserver implements CallObserver {
  onFirstAnswer: (() => void) | undefined;
  readonly #story: CallObserver | undefined;

  constructor(story: CallObserver | undefined) {
    this.#story = story;
  }

  callEnded(call: CallRecord): void {
    this.#story?.callEnded(call);
    if (call.direction !== "sent" || call.error !== undefined) return;
    const tell = this.onFirstAnswer;
    this.onFirstAnswer = undefined;
    tell?.();
  }
}
