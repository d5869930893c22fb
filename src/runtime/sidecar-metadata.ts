import { goDuration } from "../core/go-duration.ts";
import type { CallRules } from "../invocation/ports.ts";
import type { HealthDescription, MetadataSource, SidecarDescription } from "../transport/http/routes/metadata.ts";
import type { AppHealthSettings, SidecarSettings } from "./sidecar-settings.ts";
import { DAPR_WIRE_VERSION, outriggerVersion } from "./version.ts";

/** What `/v1.0/metadata` tells (A9), and what the app has added to it. */
export class SidecarMetadata implements MetadataSource {
  readonly #settings: SidecarSettings;
  readonly #rules: Pick<CallRules, "endpoints">;
  readonly #extended: Map<string, string>;

  constructor(settings: SidecarSettings, rules: Pick<CallRules, "endpoints">) {
    this.#settings = settings;
    this.#rules = rules;
    this.#extended = new Map([
      ["daprRuntimeVersion", DAPR_WIRE_VERSION],
      ["outriggerVersion", outriggerVersion()],
    ]);
    if (settings.command !== "") this.#extended.set("appCommand", settings.command);
    for (const [key, value] of originOf(settings)) if (value !== undefined) this.#extended.set(key, String(value));
  }

  setExtended(key: string, value: string): void {
    this.#extended.set(key, value);
  }

  describe(): SidecarDescription {
    const { app, appPort, appProtocol, appChannelAddress, appHealth, appMaxConcurrency } = this.#settings;
    const { endpoints } = this.#rules;
    return {
      id: app.id,
      runtimeVersion: DAPR_WIRE_VERSION,
      // Go writes maps with their keys sorted.
      extended: Object.fromEntries([...this.#extended].sort(([a], [b]) => (a < b ? -1 : 1))),
      httpEndpoints: endpoints.size === 0 ? undefined : [...endpoints.keys()].map((name) => ({ name })),
      appConnectionProperties: {
        port: appPort,
        protocol: appProtocol,
        channelAddress: appChannelAddress,
        maxConcurrency: appMaxConcurrency > 0 ? appMaxConcurrency : undefined,
        health: appHealth === undefined ? undefined : describeHealth(appHealth),
      },
      // Actors are not this project's; a client that asks is told so in daprd's words.
      actorRuntime: { runtimeStatus: "DISABLED", hostReady: false, placement: "placement: disconnected" },
    };
  }
}

function describeHealth({ path, intervalMs, timeoutMs, threshold }: AppHealthSettings): HealthDescription {
  return {
    healthCheckPath: path,
    healthProbeInterval: goDuration(intervalMs),
    healthProbeTimeout: goDuration(timeoutMs),
    healthThreshold: threshold,
  };
}

/** Where it was started from, by the names that Dapr's CLI gives these to its daprd. */
function originOf({ origin }: SidecarSettings): [key: string, value: string | number | undefined][] {
  if (origin === undefined) return [];
  return [
    ["cliPID", origin.cliPid],
    ["runTemplatePath", origin.runFile],
    ["runTemplateName", origin.runName],
    ["appLogPath", origin.appLog],
    ["daprdLogPath", origin.sidecarLog],
  ];
}
