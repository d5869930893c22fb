import type { HealthSource } from "../transport/http/routes/health.ts";

/** Which parts of a Sidecar are ready, and who wants to know of changes. */
export class Readiness implements HealthSource {
  readonly appId: string;
  #isListening = false;
  #isAppReady: boolean;
  #isEnding = false;
  readonly #listeners = new Set<() => void>();

  /** @param hasApp whether there is an app to wait for. */
  constructor(appId: string, hasApp: boolean) {
    this.appId = appId;
    this.#isAppReady = !hasApp;
  }

  get isEnding(): boolean {
    return this.#isEnding;
  }

  notReady(): readonly string[] {
    return [...this.notReadyOutbound(), ...(this.#isAppReady ? [] : ["app"])];
  }

  notReadyOutbound(): readonly string[] {
    return this.#isListening ? [] : ["listeners"];
  }

  onChange(listener: () => void): () => void {
    // One that is given twice counts twice.
    const own = (): void => {
      listener();
    };
    this.#listeners.add(own);
    return () => {
      this.#listeners.delete(own);
    };
  }

  /** The ports are bound, and others can find them. */
  markListening(): void {
    this.#isListening = true;
    this.#tell();
  }

  /** The app answers on its port. */
  markAppReady(): void {
    this.#isAppReady = true;
    this.#tell();
  }

  /** The end has begun. What is ready stays so as long as it lasts. */
  markEnding(): void {
    this.#isEnding = true;
    this.#tell();
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
