import { existsSync } from "node:fs";
import { qualifiedName } from "../core/app-id.ts";
import { nearestName } from "../core/nearest-name.ts";
import { openHome } from "../runtime/home.ts";
import { type RegistryEntry, RegistryStore, registryPathIn } from "../runtime/registry/registry-store.ts";
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

/**
 * Those of `all` that `name` means, which is an `id`, or `id.namespace`.
 *
 * @throws {CliError} where there is none, saying what there is, and where an `id` is that of several apps, in namespaces of
 *   their own.
 */
export function instancesIn(all: readonly RegistryEntry[], name: string, place: Place): readonly RegistryEntry[] {
  const found = all.filter(({ instance: { app } }) => app.id === name || qualifiedName(app) === name);
  if (found.length === 0) throw notRunning(`app "${name}"`, all, place, name);
  const names = [...new Set(found.map(({ instance }) => qualifiedName(instance.app)))];
  if (names.length === 1) return found;
  throw new CliError(`"${name}" runs in several namespaces; say which is meant: ${names.join(", ")}`);
}

/** Says that there is no `what`, what there is, and which of them was likely meant by `name`. */
export function notRunning(what: string, all: readonly RegistryEntry[], place: Place, name?: string): CliError {
  const ids = [...new Set(all.map(({ instance }) => instance.app.id))];
  const names = new Set(all.flatMap(({ instance: { app } }) => [app.id, qualifiedName(app)]));
  const near = name === undefined ? undefined : nearestName(name, names);
  const hint = near === undefined ? "" : `did you mean "${near}"? `;
  const running = ids.length === 0 ? "no app is running" : `running are: ${ids.join(", ")}`;
  return new CliError(`no ${what} is running under ${openHome(place.env)}; ${hint}${running}`);
}

/** Where the instance's API is, for this machine. */
export function apiOf({ details }: RegistryEntry): Api {
  const { apiHost, httpPort, httpSocket } = details;
  if (httpSocket !== undefined) return apiOnSocket(httpSocket);
  return apiOnPort(apiHost, httpPort ?? 0);
}
