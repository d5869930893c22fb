import type { SecretStore, SecretStoreEntry } from "../components/contract/secret-store.ts";
import { messageOf, SetupError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import type { ComponentSpec } from "../resources/component-spec.ts";
import { componentMetadata, described } from "./component-metadata.ts";
import type { ComponentStarts } from "./component-starts.ts";
import { SecretValues } from "./secret-values.ts";

/** The secret stores of one app, ready to be asked. */
export class SecretStores {
  readonly #stores = new Map<string, SecretStore>();
  readonly #entries: readonly SecretStoreEntry[];
  readonly #env: NodeJS.ProcessEnv;
  readonly #log: Logger;
  readonly #starts: ComponentStarts | undefined;

  constructor(entries: readonly SecretStoreEntry[], env: NodeJS.ProcessEnv, log: Logger, starts?: ComponentStarts) {
    this.#entries = entries;
    this.#env = env;
    this.#log = log;
    this.#starts = starts;
  }

  /** @throws {SetupError} naming the component, where one cannot be used and does not say `ignoreErrors`. */
  async start(specs: readonly ComponentSpec[]): Promise<void> {
    for (const spec of specs) {
      try {
        await this.#startOne(spec);
      } catch (cause) {
        this.#starts?.failed(spec.type);
        const what = `${described(spec)}: ${messageOf(cause)}`;
        if (!spec.ignoreErrors) throw new SetupError(what, { cause });
        this.#log.warn(`${what}; it was left out, as its ignoreErrors says`);
      }
    }
  }

  get values(): SecretValues {
    return new SecretValues(this.#stores, this.#env);
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
      const known = this.#entries.map(({ type }) => type).join(" and ");
      this.#log.warn(
        `Component ${spec.name} in ${spec.file} is of type ${spec.type}, and was skipped; there are ${known}`,
      );
      return;
    }
    const store = (await entry.load()).create();
    await store.init(await componentMetadata(spec, this.values));
    this.#stores.set(spec.name, store);
    this.#starts?.started(spec.type);
  }
}
