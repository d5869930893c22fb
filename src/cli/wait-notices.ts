import type { HostedApp } from "../runtime/hosted-app.ts";

// People wonder after about two seconds, and again after ten more.
const FIRST_NOTICE_MS = 2000;
const NEXT_NOTICE_MS = 10_000;

/** Says of an app that does not answer on its port that it is waited for, again and again until it does. */
export class WaitNotices {
  readonly #notices = new Map<string, NodeJS.Timeout>();
  readonly #say: (app: HostedApp, text: string) => void;

  constructor(say: (app: HostedApp, text: string) => void) {
    this.#say = say;
  }

  begin(app: HostedApp): void {
    if (app.spec.settings.appPort !== undefined) this.#sayLater(app, FIRST_NOTICE_MS);
  }

  end(app: HostedApp): void {
    clearTimeout(this.#notices.get(app.id));
    this.#notices.delete(app.id);
  }

  endAll(): void {
    for (const notice of this.#notices.values()) clearTimeout(notice);
    this.#notices.clear();
  }

  #sayLater(app: HostedApp, ms: number): void {
    const notice = setTimeout(() => {
      const { appPort, appChannelAddress } = app.spec.settings;
      this.#say(app, `waiting for ${appChannelAddress}:${appPort} to answer; is --app-port right?`);
      this.#sayLater(app, NEXT_NOTICE_MS);
    }, ms);
    notice.unref();
    this.#notices.set(app.id, notice);
  }
}
