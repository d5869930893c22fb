import type { SecretStoreManifest } from "../../contract/secret-store.ts";
import { LocalEnvSecretStore } from "./local-env-secret-store.ts";

export const localEnvManifest = {
  type: "secretstores.local.env",
  create: () => new LocalEnvSecretStore(process.env),
} satisfies SecretStoreManifest;
