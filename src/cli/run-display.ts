import { apiUrl } from "../runtime/api-place.ts";
import type { HostedApp } from "../runtime/hosted-app.ts";
import { outriggerVersion } from "../runtime/version.ts";
import type { RunDisplay } from "./run-apps.ts";
import { type Terminal, table } from "./terminal.ts";
import { WaitNotices } from "./wait-notices.ts";

/** What `outrigger run` shows: where everything is, the apps' own lines under their names, and what happens to them. */
export class TerminalDisplay implements RunDisplay {
  readonly #out: Terminal;
  readonly #err: Terminal;
  readonly #positions = new Map<string, number>();
  readonly #notices = new WaitNotices((app, text) => {
    this.#note(app, "yellow", text);
  });
  #nameWidth = 0;

  constructor(out: Terminal, err: Terminal, appIds: readonly string[]) {
    this.#out = out;
    this.#err = err;
    for (const id of appIds) {
      this.#positions.set(id, this.#positions.size);
      this.#nameWidth = Math.max(this.#nameWidth, id.length);
    }
  }

  allStarted(apps: readonly HostedApp[]): void {
    const behind = apps.length === 1 ? "1 app" : `${apps.length} apps behind one process`;
    this.#out.line(`${this.#out.paint("bold", `Outrigger ${outriggerVersion()}`)}  ${behind}, pid ${process.pid}`);
    this.#out.line("");
    this.#out.write(this.#places(apps));
    this.#tellLogs(apps);
    this.#out.line("");
    const callee = apps.find((app) => app.spec.settings.appPort !== undefined);
    const caller = apps.find((app) => app !== callee) ?? callee;
    if (callee !== undefined && caller !== undefined) {
      this.#out.line(
        `Call it:  ${this.#out.paint("cyan", `curl ${curlTarget(caller)}/v1.0/invoke/${callee.id}/method/<path>`)}`,
      );
    }
    this.#out.line(this.#out.paint("dim", "Ctrl-C ends everything."));
    this.#out.line("");
  }

  started(app: HostedApp): void {
    this.#notices.begin(app);
  }

  ready(app: HostedApp): void {
    this.#notices.end(app);
    const { appPort } = app.spec.settings;
    if (appPort !== undefined) this.#note(app, "green", `answers on port ${appPort}`);
  }

  line(app: HostedApp, line: string, stream: "stdout" | "stderr"): Promise<void> | undefined {
    const to = stream === "stdout" ? this.#out : this.#err;
    return to.writePaced(`${this.#label(app, to)} │ ${line}\n`);
  }

  exited(app: HostedApp, code: number): void {
    this.#notices.end(app);
    this.#note(app, code === 0 ? "green" : "red", `the app ended with exit code ${code}`);
  }

  stopping(reason: string): void {
    this.#notices.endAll();
    this.#out.line(this.#out.paint("dim", `Ending: ${reason}.`));
  }

  /** With the ports for Prometheus, where a line has room for them; `list --json` has them always. */
  #places(apps: readonly HostedApp[]): string {
    const { columns = Infinity } = this.#out;
    const whole = table(apps.map((app) => placesOf(app, metricsOf(app))));
    const fits = whole.split("\n").every(({ length }) => length <= columns);
    return fits ? whole : table(apps.map((app) => placesOf(app, "")));
  }

  #tellLogs(apps: readonly HostedApp[]): void {
    const rows = apps.flatMap((app): string[][] => {
      const { appLog, sidecarLog } = app.spec.settings.origin ?? {};
      return [
        ...(appLog === undefined ? [] : [[app.id, "app", appLog]]),
        ...(sidecarLog === undefined ? [] : [[app.id, "sidecar", sidecarLog]]),
      ];
    });
    if (rows.length === 0) return;
    this.#out.line("");
    this.#out.write(table(rows.map((row, index) => [index === 0 ? "Logs:" : "", ...row])));
  }

  #note(app: HostedApp, style: "green" | "yellow" | "red", text: string): void {
    this.#out.line(`${this.#label(app, this.#out)} ${this.#out.paint(style, `● ${text}`)}`);
  }

  #label(app: HostedApp, terminal: Terminal): string {
    return terminal.paintName(app.id.padEnd(this.#nameWidth), this.#positions.get(app.id) ?? 0);
  }
}

function placesOf(app: HostedApp, metrics: string): string[] {
  const { appPort, command } = app.spec.settings;
  const { public: publicPort } = app.ports;
  const ownPort = appPort === undefined ? "no app port" : `app on port ${appPort}`;
  const appPlace = publicPort === undefined ? ownPort : `${ownPort}, public port ${publicPort}`;
  return ["", app.id, urlOf(app), appPlace + metrics, command];
}

function metricsOf({ ports: { metrics } }: HostedApp): string {
  return metrics === undefined ? "" : `, metrics on ${metrics}`;
}

function urlOf(app: HostedApp): string {
  return apiUrl(app.spec.settings.listenAddresses, app.ports.http);
}

function curlTarget(app: HostedApp): string {
  const { http } = app.ports;
  return typeof http === "string" ? `--unix-socket ${http} http://localhost` : urlOf(app);
}
