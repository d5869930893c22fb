import type { SecretStoreManifest } from "../../contract/secret-store.ts";
import { LocalFileSecretStore } from "./local-file-secret-store.ts";

export const localFileManifest = {
  type: "secretstores.local.file",
  create: () => new LocalFileSecretStore(),
} satisfies SecretStoreManifest;
