import { socketPath } from "../../runtime/api-place.ts";
import { systemClock } from "../../runtime/system-clock.ts";
import { type Api, apiOnPort, apiOnSocket, callApi } from "../call-api.ts";
import { CliError } from "../cli-error.ts";
import { FlagValues, type TypedFlags } from "../flag-values.ts";
import { tellingMistakesAsAsked } from "../json-records.ts";
import { LogDisplay } from "../log-display.ts";
import { type CommandContext, prepareApp } from "../prepare-app.ts";
import { runApps } from "../run-apps.ts";
import { socketFolderFrom } from "../sidecar-settings-from-flags.ts";

// `sidecar` reads only what flags name.
const NOTHING = { configs: [], resourcePaths: [] };

/** `outrigger sidecar`: one app that somebody else starts, told by daprd's flags alone. @returns the exit code. */
export function sidecar(typed: TypedFlags, context: CommandContext): Promise<number> {
  return tellingMistakesAsAsked(typed, context.err, () => serve(typed, context));
}

async function serve(typed: TypedFlags, { env, out, err }: CommandContext): Promise<number> {
  const flags = new FlagValues(typed);
  if (flags.switch("wait")) return waitUntilReady(flags);
  const { spec, logLevel, warnings } = await prepareApp({
    name: "sidecar",
    typed,
    env,
    command: undefined,
    fallback: NOTHING,
  });
  const logAsJson = flags.switch("log-as-json");
  const options = { specs: [spec], env, logLevel, logAsJson, story: flags.switch("story"), once: false, warnings };
  return runApps(options, new LogDisplay(err, { appId: spec.settings.app.id, logLevel, logAsJson }), out, err);
}

// daprd's --wait (A6).
const WAIT_MS = 60_000;
const WAIT_INTERVAL_MS = 100;

/** Waits for the sidecar that another process runs. */
async function waitUntilReady(flags: FlagValues): Promise<number> {
  const api = apiToWaitFor(flags);
  const path = "/v1.0/healthz/outbound";
  const signal = AbortSignal.timeout(WAIT_MS);
  while (!signal.aborted) {
    const response = await callApi(api, { path, signal }).catch(() => undefined);
    response?.resume();
    if (response?.statusCode === 204) return 0;
    await systemClock.sleep(WAIT_INTERVAL_MS);
  }
  throw new CliError(
    `no sidecar became ready at ${api.url}${path} within ${WAIT_MS / 1000} s; is it running, and there?`,
  );
}

function apiToWaitFor(flags: FlagValues): Api {
  const folder = socketFolderFrom(flags);
  if (folder === undefined) return apiOnPort("127.0.0.1", flags.port("dapr-http-port") ?? 3500);
  const appId = flags.text("app-id");
  if (appId === undefined) throw new CliError("--app-id is missing: a sidecar's Unix socket is named after its app");
  return apiOnSocket(socketPath(folder, appId, "http"));
}
