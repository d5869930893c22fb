import { isHiddenVariable } from "../../../core/hidden-variables.ts";
import type { ComponentMetadata } from "../../contract/component-metadata.ts";
import type { SecretStore } from "../../contract/secret-store.ts";

/** `secretstores.local.env`: each environment variable of Outrigger is a secret of one value. */
export class LocalEnvSecretStore implements SecretStore {
  readonly #env: NodeJS.ProcessEnv;
  #prefix = "";

  constructor(env: NodeJS.ProcessEnv) {
    this.#env = env;
  }

  init(metadata: ComponentMetadata): Promise<void> {
    metadata.refuseUnknown(["prefix"]);
    this.#prefix = metadata.get("prefix") ?? "";
    return Promise.resolve();
  }

  secret(name: string): Promise<ReadonlyMap<string, string> | undefined> {
    const variable = this.#prefix + name;
    const isThere = Object.hasOwn(this.#env, variable) && !isHiddenVariable(variable);
    const value = isThere ? this.#env[variable] : undefined;
    return Promise.resolve(value === undefined ? undefined : new Map([[name, value]]));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
