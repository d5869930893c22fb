import type { AppIdentity } from "../../core/app-id.ts";
import { messageOf } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import { type AppResources, readAppResources } from "../../resources/app-resources.ts";
import { fingerprintOf } from "../../resources/folder-fingerprint.ts";
import type { ResourceWatch } from "../sidecar-settings.ts";
import type { FolderWatches } from "./folder-watches.ts";
import { changesBetween } from "./resource-changes.ts";

export interface ResourceReloadParts {
  readonly app: AppIdentity;
  /** What is in use. */
  readonly resources: AppResources;
  readonly watch: ResourceWatch;
  readonly watches: FolderWatches;
  readonly log: Logger;
  /** @throws {SetupError} naming the resource that cannot be used; then those before stay. */
  load(resources: AppResources): Promise<void>;
}

/**
 * Reads the resources of one app again as their folders change. What cannot be used changes nothing, is told once, and is
 * tried again with the next change, or by and by: a file that it names may have been mended elsewhere.
 */
export class ResourceReload {
  readonly #parts: ResourceReloadParts;
  readonly #stop: () => void;
  #used: AppResources;
  #seen: string;
  #warnings: readonly string[];
  /** What is wrong with what stands there; undefined where nothing is. */
  #failure: string | undefined;
  #working = false;
  #again = false;
  #closed = false;

  constructor(parts: ResourceReloadParts) {
    this.#parts = parts;
    this.#used = parts.resources;
    this.#seen = parts.watch.fingerprint;
    this.#warnings = parts.watch.warnings;
    this.#stop = parts.watches.listen(parts.watch.folders, () => {
      void this.#look();
    });
  }

  /** May be called twice. */
  close(): void {
    this.#closed = true;
    this.#stop();
  }

  async #look(): Promise<void> {
    this.#again = true;
    if (this.#working) return;
    this.#working = true;
    try {
      while (this.#mustLook()) await this.#lookOnce();
    } finally {
      this.#working = false;
    }
  }

  #mustLook(): boolean {
    const must = this.#again && !this.#closed;
    this.#again = false;
    return must;
  }

  async #lookOnce(): Promise<void> {
    const { folders } = this.#parts.watch;
    const seen = await fingerprintOf(folders);
    if (seen === this.#seen && this.#failure === undefined) return;
    this.#seen = seen;
    try {
      await this.#read(folders);
    } catch (error) {
      this.#fail(messageOf(error));
    }
  }

  async #read(folders: readonly string[]): Promise<void> {
    const { app, log } = this.#parts;
    const { warnings, ...resources } = readAppResources(folders, app, this.#used);
    const changes = changesBetween(this.#used, resources);
    if (changes.length > 0) await this.#parts.load(resources);
    const wasBroken = this.#failure !== undefined;
    this.#failure = undefined;
    this.#used = resources;
    for (const warning of warnings) if (!this.#warnings.includes(warning)) log.warn(warning);
    this.#warnings = warnings;
    if (changes.length > 0) log.info(`resources were read again: ${changes.join(", ")}`);
    else if (wasBroken) log.info("resources were read again: they are as they were before the mistake");
  }

  #fail(message: string): void {
    if (message === this.#failure || this.#closed) return;
    this.#failure = message;
    this.#parts.log.error(`resources could not be read again, and those before stay in use: ${message}`);
  }
}
