import type { Clock } from "../core/clock.ts";
import { messageOf, SetupError } from "../core/errors.ts";
import { type ApiPlace, apiUrl } from "./api-place.ts";
import { refuseTakenPort, waitForPort } from "./app-port.ts";
import { AppProcess, refuseMissingProgram } from "./app-process.ts";
import type { SidecarPorts } from "./bind-ports.ts";
import type { Host } from "./host.ts";
import type { Sidecar } from "./sidecar.ts";
import type { SidecarSettings } from "./sidecar-settings.ts";

/** What is to be run: a Sidecar, and the command that starts its app where Outrigger is to start it. */
export interface HostedAppSpec {
  readonly settings: SidecarSettings;
  /** Undefined for an app that somebody else starts. */
  readonly command: HostedCommand | undefined;
}

export interface HostedCommand {
  readonly argv: readonly [program: string, ...args: string[]];
  readonly cwd: string;
  /** Without what Outrigger adds. */
  readonly env: NodeJS.ProcessEnv;
  readonly stdin: "inherit" | "ignore";
}

/** Told what happens to the app, for people to read. */
export interface HostedAppEvents {
  started(app: HostedApp): void;
  /** The app's port answers (or it has none to wait for). */
  ready(app: HostedApp): void;
  /** @returns what to wait for before there are more, where they come faster than they can be shown. */
  line(app: HostedApp, line: string, stream: "stdout" | "stderr"): Promise<void> | undefined;
  /** The app has ended by itself, and its Sidecar ends with it. */
  exited(app: HostedApp, code: number): void;
}

/** What the app may take to end after its signal; daprd's grace for itself is the same by default. */
export const APP_PATIENCE_MS = 5000;
const FORCED_EXIT_CODE = 1;
// As a shell says it of a program it cannot run.
const COULD_NOT_START_CODE = 126;

/** A Sidecar and its app: started together, ended together. */
export class HostedApp {
  readonly spec: HostedAppSpec;
  /** Resolves once both are over, with the app's exit code; 0 where they were asked to end. */
  readonly ended: Promise<number>;
  readonly #host: Host;
  readonly #clock: Clock;
  readonly #events: HostedAppEvents;
  /** Fires when the app is to end, or has ended. */
  readonly #ending = new AbortController();
  #end!: (code: number) => void;
  #sidecar: Sidecar | undefined;
  #process: AppProcess | undefined;
  #inboundFinished: Promise<void> | undefined;
  #outboundFinished: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(spec: HostedAppSpec, host: Host, clock: Clock, events: HostedAppEvents) {
    this.spec = spec;
    this.#host = host;
    this.#clock = clock;
    this.#events = events;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  get id(): string {
    return this.spec.settings.app.id;
  }

  get ports(): SidecarPorts {
    if (this.#sidecar === undefined) throw new Error(`${this.id} has not started`);
    return this.#sidecar.ports;
  }

  /** Undefined where somebody else starts the app. */
  get appPid(): number | undefined {
    return this.#process?.pid;
  }

  /**
   * Binds the ports and makes the app findable. The app itself starts with `launch`.
   *
   * @throws {SetupError} where the command names no program, its port is taken, and as {@link Host.add} does.
   */
  async start(): Promise<void> {
    if (this.#isEnding()) return;
    // Before a port is bound or a neighbour started: a slip in the command line should cost nothing.
    if (this.spec.command !== undefined) await this.#refuseMistakes(this.spec.command);
    const sidecar = await this.#host.add(this.spec.settings, (mode) => {
      if (mode === "graceful") void this.stop("SIGTERM");
      // daprd ends 100 ms later, so that the answer reaches the app first (A9).
      else setTimeout(() => void this.kill(FORCED_EXIT_CODE), 100);
    });
    this.#sidecar = sidecar;
    if (this.#isEnding()) await this.#host.cut(sidecar);
    else this.#events.started(this);
  }

  /** Starts the app and watches for its port. Does nothing where the app has been told to end meanwhile. */
  async launch(): Promise<void> {
    if (this.#isEnding()) return;
    const { command } = this.spec;
    if (command !== undefined) await this.#startProcess(command);
    void this.#awaitPort();
  }

  /**
   * Lets the calls to the app finish. The app goes on, and the other Sidecars of the process still find it: what they have
   * under way may need it.
   */
  finishInbound(): Promise<void> {
    this.#ending.abort();
    this.#inboundFinished ??= this.#sidecar?.finishInbound() ?? Promise.resolve();
    return this.#inboundFinished;
  }

  /** Then lets the calls of the app finish, which may have needed the other apps so far. */
  finishOutbound(): Promise<void> {
    this.#outboundFinished ??= this.finishInbound().then(() => this.#sidecar?.finishOutbound());
    return this.#outboundFinished;
  }

  /**
   * Ends both in order: no new calls, those that run finish, then the app is sent `signal`.
   *
   * Calling it again gives the same promise.
   */
  stop(signal: NodeJS.Signals): Promise<void> {
    this.#stopped ??= this.#stopInOrder(signal);
    return this.#stopped;
  }

  /** Ends both at once. */
  async kill(code: number): Promise<void> {
    this.#ending.abort();
    // The end of the app is this one's doing: its watch has nothing to tell.
    this.#stopped ??= this.ended.then(() => undefined);
    this.#process?.signal("SIGKILL");
    if (this.#sidecar !== undefined) await this.#host.cut(this.#sidecar);
    this.#end(code);
  }

  async #refuseMistakes(command: HostedCommand): Promise<void> {
    const { appChannelAddress, appPort, origin } = this.spec.settings;
    try {
      refuseMissingProgram(command);
    } catch (cause) {
      // Of several commands in a file, which one it is.
      throw origin === undefined ? cause : new SetupError(`${this.id}: ${messageOf(cause)}`, { cause });
    }
    if (appPort !== undefined) await refuseTakenPort(this.id, appChannelAddress, appPort);
  }

  async #startProcess(command: HostedCommand): Promise<void> {
    const env = { ...command.env, ...this.#environment() };
    const onLine = (line: string, stream: "stdout" | "stderr"): Promise<void> | undefined =>
      this.#events.line(this, line, stream);
    this.#process = AppProcess.start({ ...command, env, onLine });
    void this.#watch(this.#process);
    if (this.#process.pid !== undefined) await this.#sidecar?.recordAppProcess(this.#process.pid);
  }

  async #watch(app: AppProcess): Promise<void> {
    const code = await app.exited.catch((error: unknown) => {
      void this.#events.line(this, messageOf(error), "stderr");
      return COULD_NOT_START_CODE;
    });
    if (this.#stopped !== undefined) return;
    // It may end before its turn while all are being stopped; that is no failure of the run.
    const wasToEnd = this.#isEnding();
    this.#events.exited(this, code);
    // Answers that the app has given may still be on their way.
    await this.#endSidecar();
    this.#end(wasToEnd ? 0 : code);
  }

  async #stopInOrder(signal: NodeJS.Signals): Promise<void> {
    const sidecar = this.#sidecar;
    if (sidecar !== undefined) this.#host.forget(sidecar);
    await this.finishOutbound();
    // Before the app can answer them late; else it finds its Sidecar there for as long as it lives.
    if (sidecar?.isOverdue === true) await this.#host.cut(sidecar);
    // A program that could not be started has been told of by its watch.
    await this.#process?.stop(signal, APP_PATIENCE_MS).catch(() => undefined);
    await this.#endSidecar();
    this.#end(0);
  }

  #isEnding(): boolean {
    return this.#ending.signal.aborted;
  }

  async #endSidecar(): Promise<void> {
    const sidecar = this.#sidecar;
    if (sidecar === undefined) return;
    this.#host.forget(sidecar);
    await this.finishOutbound();
    await sidecar.finishApi();
    await this.#host.cut(sidecar);
  }

  async #awaitPort(): Promise<void> {
    const { appPort, appChannelAddress } = this.spec.settings;
    try {
      if (appPort !== undefined) await waitForPort(appChannelAddress, appPort, this.#clock, this.#ending.signal);
      this.#sidecar?.markAppReady();
      this.#events.ready(this);
    } catch (error) {
      if (!this.#isEnding()) throw new Error(`waiting for ${this.id}: ${messageOf(error)}`, { cause: error });
    }
  }

  /**
   * What an app finds its sidecar by: Dapr's SDKs read these, seed 004's clients read SERVICE_ID. Where the APIs are Unix
   * sockets there are no ports to be told; the endpoints stay, for without them SDKs would try port 3500, which may be
   * another app's.
   */
  #environment(): NodeJS.ProcessEnv {
    const { app, appPort, listenAddresses } = this.spec.settings;
    const { http, grpc, metrics } = this.ports;
    return {
      APP_ID: app.id,
      SERVICE_ID: app.id,
      APP_PORT: appPort === undefined ? undefined : String(appPort),
      DAPR_HTTP_PORT: portText(http),
      DAPR_GRPC_PORT: portText(grpc),
      DAPR_METRICS_PORT: metrics === undefined ? undefined : String(metrics),
      DAPR_HTTP_ENDPOINT: apiUrl(listenAddresses, http),
      DAPR_GRPC_ENDPOINT: apiUrl(listenAddresses, grpc),
    };
  }
}

function portText(place: ApiPlace): string | undefined {
  return typeof place === "number" ? String(place) : undefined;
}
