import { existsSync } from "node:fs";
import {
  type RegistryEntry,
  RegistryStore,
  registryPathIn,
} from "../components/nameresolution/registry/registry-store.ts";
import { qualifiedName } from "../core/app-id.ts";
import { openHome } from "../runtime/home.ts";
import { type Api, apiOnPort, apiOnSocket } from "./call-api.ts";
import { CliError } from "./cli-error.ts";
import type { CommandContext } from "./prepare-app.ts";

type Place = Pick<CommandContext, "env" | "err">;

/** The running instances that the registry of this home knows. `warn` is told of trouble with it that has been mended. */
export async function runningApps(
  { env, err }: Place,
  warn = (message: string): void => {
    err.line(`${err.paint("yellow", "outrigger:")} ${message}`);
  },
): Promise<readonly RegistryEntry[]> {
  const path = registryPathIn(openHome(env));
  if (!existsSync(path)) return [];
  const store = new RegistryStore(path, warn);
  try {
    return store.all(Date.now());
  } finally {
    await store.close();
  }
}

/** Those of one app, given as `id` or `id.namespace`. @throws {CliError} where there is none, saying what there is. */
export async function instancesOf(name: string, place: Place): Promise<readonly RegistryEntry[]> {
  const all = await runningApps(place);
  const found = all.filter(({ instance: { app } }) => app.id === name || qualifiedName(app) === name);
  if (found.length > 0) return found;
  const ids = [...new Set(all.map(({ instance }) => instance.app.id))];
  const running = ids.length === 0 ? "no app is running" : `running are: ${ids.join(", ")}`;
  throw new CliError(`no app "${name}" is running under ${openHome(place.env)}; ${running}`);
}

/** Where the instance's API is, for this machine. */
export function apiOf({ details }: RegistryEntry): Api {
  const { apiHost, httpPort, httpSocket } = details;
  if (httpSocket !== undefined) return apiOnSocket(httpSocket);
  return apiOnPort(apiHost, httpPort ?? 0);
}
