import { standardSecretStores } from "../components/standard.ts";
import type { Logger } from "../core/logger.ts";
import type { Endpoint } from "../invocation/ports.ts";
import type { AppResources } from "../resources/app-resources.ts";
import { endpointsFrom } from "./app-endpoints.ts";
import { SecretStores } from "./secret-stores.ts";

/** The HTTP endpoints of one app. Its secret stores are asked now, and not again. @throws {SetupError} naming the resource. */
export async function loadEndpoints(
  resources: AppResources,
  env: NodeJS.ProcessEnv,
  log: Logger,
): Promise<ReadonlyMap<string, Endpoint>> {
  const stores = new SecretStores(standardSecretStores, env, log);
  try {
    await stores.start(resources.secretStores);
    return await endpointsFrom(resources.endpoints, stores.values);
  } finally {
    await stores.close();
  }
}
