import type { SecretStore } from "../../components/contract/secret-store.ts";
import { messageOf, SetupError } from "../../core/errors.ts";
import { isHiddenVariable } from "../../core/hidden-variables.ts";
import type { ValueSource } from "../../resources/value-source.ts";

/** Who asks for a value, for error texts: `HTTPEndpoint github in endpoints.yaml`. */
export interface ValueUser {
  readonly description: string;
  /** `auth.secretStore` of the resource; undefined: the one that there is. */
  readonly secretStore: string | undefined;
}

/** Finds out values that a resource does not hold itself. */
export class SecretValues {
  readonly #stores: ReadonlyMap<string, SecretStore>;
  readonly #env: NodeJS.ProcessEnv;

  readonly #unknown: ReadonlyMap<string, string>;

  /**
   * @param stores that are ready, by the names of their components.
   * @param unknown the types of those that cannot be had, by their names.
   */
  constructor(
    stores: ReadonlyMap<string, SecretStore>,
    env: NodeJS.ProcessEnv,
    unknown: ReadonlyMap<string, string> = new Map(),
  ) {
    this.#stores = stores;
    this.#env = env;
    this.#unknown = unknown;
  }

  /**
   * @param field what the value is for: `header Authorization`.
   * @throws {SetupError} naming the resource, the field and what is missing; never a value.
   */
  async valueOf(source: ValueSource, field: string, user: ValueUser): Promise<string> {
    switch (source.kind) {
      case "value":
        return source.value;
      case "env":
        return this.#variable(source.variable, field, user);
      case "secret":
        return this.#secret(source, field, user);
    }
  }

  #variable(name: string, field: string, { description }: ValueUser): string {
    if (isHiddenVariable(name)) {
      throw new SetupError(
        `${description}: ${field}: the environment variable ${name} is not given to resources; use another one`,
      );
    }
    const value = Object.hasOwn(this.#env, name) ? this.#env[name] : undefined;
    if (value !== undefined) return value;
    throw new SetupError(`${description}: ${field}: the environment variable ${name} is not set; set it for Outrigger`);
  }

  async #secret(
    { name, key }: { readonly name: string; readonly key: string },
    field: string,
    user: ValueUser,
  ): Promise<string> {
    const [storeName, store] = this.#storeFor(field, user);
    const place = `${user.description}: ${field}`;
    let secret: ReadonlyMap<string, string> | undefined;
    try {
      secret = await store.secret(name);
    } catch (cause) {
      throw new SetupError(`${place}: the secret store ${storeName} cannot be read: ${messageOf(cause)}`, { cause });
    }
    if (secret === undefined) throw new SetupError(`${place}: the secret store ${storeName} has no secret "${name}"`);
    const value = secret.get(key);
    if (value !== undefined) return value;
    const known = [...secret.keys()].map((other) => `"${other}"`).join(", ");
    throw new SetupError(`${place}: the secret "${name}" of ${storeName} has no key "${key}", but ${known}`);
  }

  #storeFor(field: string, { description, secretStore }: ValueUser): readonly [string, SecretStore] {
    const names = [...this.#stores.keys()];
    if (secretStore !== undefined) {
      const store = this.#stores.get(secretStore);
      if (store !== undefined) return [secretStore, store];
      const type = this.#unknown.get(secretStore);
      if (type !== undefined) {
        throw new SetupError(
          `${description}: ${field}: the secret store "${secretStore}" is of type ${type}, which there is not`,
        );
      }
      const there = names.length === 0 ? "there is none" : `there is ${names.join(", ")}`;
      throw new SetupError(`${description}: ${field}: no secret store "${secretStore}" is loaded; ${there}`);
    }
    const [only] = this.#stores;
    if (only !== undefined && names.length === 1) return only;
    const what =
      only === undefined
        ? "no secret store is loaded; add a Component of type secretstores.local.file or secretstores.local.env"
        : `several secret stores are loaded (${names.join(", ")}); say which one in auth.secretStore`;
    throw new SetupError(`${description}: ${field} comes from a secret, and ${what}`);
  }
}
