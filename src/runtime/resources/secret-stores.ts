import type { SecretStore, SecretStoreEntry } from "../../components/contract/secret-store.ts";
import type { Clock } from "../../core/clock.ts";
import { messageOf, SetupError } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import type { ComponentSpec } from "../../resources/component-spec.ts";
import { componentMetadata, described } from "./component-metadata.ts";
import type { ComponentStarts } from "./component-starts.ts";
import { initComponent } from "./init-component.ts";
import { SecretValues } from "./secret-values.ts";

export interface SecretStoreSurroundings {
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly log: Logger;
  readonly starts?: ComponentStarts | undefined;
}

/** The secret stores of one app, ready to be asked. */
export class SecretStores {
  readonly #stores = new Map<string, SecretStore>();
  readonly #entries: readonly SecretStoreEntry[];
  /** The types of those that are of a type that there is not, by their names. */
  readonly #unknown = new Map<string, string>();
  readonly #surroundings: SecretStoreSurroundings;

  constructor(entries: readonly SecretStoreEntry[], surroundings: SecretStoreSurroundings) {
    this.#entries = entries;
    this.#surroundings = surroundings;
  }

  /** @throws {SetupError} naming the component, where one cannot be used and does not say `ignoreErrors`. */
  async start(specs: readonly ComponentSpec[]): Promise<void> {
    for (const spec of specs) {
      try {
        await this.#startOne(spec);
      } catch (cause) {
        this.#surroundings.starts?.failed(spec.type);
        const what = `${described(spec)}: ${messageOf(cause)}`;
        if (!spec.ignoreErrors) throw new SetupError(what, { cause });
        this.#surroundings.log.warn(`${what}; it was left out, as its ignoreErrors says`);
      }
    }
  }

  get values(): SecretValues {
    return new SecretValues(this.#stores, this.#surroundings.env, this.#unknown);
  }

  /** May be called twice. */
  async close(): Promise<void> {
    const stores = [...this.#stores.values()];
    this.#stores.clear();
    await Promise.allSettled(stores.map((store) => store.close()));
  }

  async #startOne(spec: ComponentSpec): Promise<void> {
    const entry = this.#entries.find(({ type }) => type === spec.type);
    if (entry === undefined) {
      this.#unknown.set(spec.name, spec.type);
      const known = this.#entries.map(({ type }) => type).join(" and ");
      this.#surroundings.log.warn(
        `Component ${spec.name} in ${spec.file} is of type ${spec.type}, and was skipped; there are ${known}`,
      );
      return;
    }
    const store = (await entry.load()).create();
    try {
      await initComponent(store, await componentMetadata(spec, this.values), spec, this.#surroundings.clock);
    } catch (error) {
      await store.close();
      throw error;
    }
    this.#stores.set(spec.name, store);
    this.#surroundings.starts?.started(spec.type);
  }
}
