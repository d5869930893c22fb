import type { ComponentMetadata } from "./component-metadata.ts";

/**
 * Holds secrets for other resources (Dapr's building block "secrets", the part of it that resources need).
 *
 * Creating one does nothing; `init` may fail; `close` may be called twice and after a failed `init`.
 */
export interface SecretStore {
  /** @throws {Error} in words for the log, where the store cannot be used: what is wrong with it, and what to do. */
  init(metadata: ComponentMetadata): Promise<void>;
  /**
   * The values of the secret with this name, by their keys; a secret of one value has it under its own name.
   *
   * @returns undefined where there is none. @throws {Error} where the store cannot be read.
   */
  secret(name: string): Promise<ReadonlyMap<string, string> | undefined>;
  close(): Promise<void>;
}

/** What a folder under components/secretstores/ exports, checked there with `satisfies`. */
export interface SecretStoreManifest {
  /** As `spec.type` of a Component names it. */
  readonly type: string;
  create(): SecretStore;
}

/** A secret store that can be had: its type costs nothing, its module and what that imports are loaded when it is used. */
export interface SecretStoreEntry {
  readonly type: string;
  load(): Promise<SecretStoreManifest>;
}
