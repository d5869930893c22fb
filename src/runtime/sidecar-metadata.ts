import { goDuration } from "../core/go-duration.ts";
import type { CallRules } from "../invocation/ports.ts";
import type { ActiveSubscription } from "../pubsub/subscriptions.ts";
import type {
  ComponentDescription,
  HealthDescription,
  MetadataSource,
  SidecarDescription,
  SubscriptionDescription,
} from "../transport/http/routes/metadata.ts";
import type { AppHealthSettings, SidecarSettings } from "./sidecar-settings.ts";
import { DAPR_WIRE_VERSION, outriggerVersion } from "./version.ts";

/** What is loaded and subscribed to at the moment; what is absent is none. */
export interface MetadataParts {
  components?(): readonly ComponentDescription[];
  subscriptions?(): readonly Pick<ActiveSubscription, "type" | "subscription">[];
}

type DescribedSettings = Pick<
  SidecarSettings,
  "app" | "appPort" | "appProtocol" | "appChannelAddress" | "appHealth" | "appMaxConcurrency" | "command" | "origin"
>;

/** What `/v1.0/metadata` tells (A9), and what the app has added to it. */
export class SidecarMetadata implements MetadataSource {
  readonly #settings: DescribedSettings;
  readonly #rules: Pick<CallRules, "endpoints">;
  readonly #parts: MetadataParts;
  readonly #extended: Map<string, string>;

  constructor(settings: DescribedSettings, rules: Pick<CallRules, "endpoints">, parts: MetadataParts = {}) {
    this.#settings = settings;
    this.#rules = rules;
    this.#parts = parts;
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
    const components = this.#parts.components?.() ?? [];
    const subscriptions = this.#parts.subscriptions?.() ?? [];
    return {
      id: app.id,
      runtimeVersion: DAPR_WIRE_VERSION,
      components: components.length === 0 ? undefined : components.map(describeComponent),
      extended: sorted(this.#extended),
      subscriptions: subscriptions.length === 0 ? undefined : subscriptions.map(describeSubscription),
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

/** Go writes maps with their keys sorted. */
function sorted(map: ReadonlyMap<string, string>): Readonly<Record<string, string>> {
  return Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function describeComponent({ name, type, version, capabilities }: ComponentDescription): ComponentDescription {
  return { name, type, version, capabilities: capabilities?.length === 0 ? undefined : capabilities };
}

function describeSubscription({
  type,
  subscription,
}: Pick<ActiveSubscription, "type" | "subscription">): SubscriptionDescription {
  const { pubsub, topic, metadata, rules, defaultPath, deadLetterTopic = "" } = subscription;
  // A gRPC app may have no route at all; daprd then shows a rule with nothing in it.
  const hasDefault = defaultPath !== undefined || rules.length === 0;
  return {
    pubsubname: pubsub,
    topic,
    metadata: metadata.size === 0 ? undefined : sorted(metadata),
    rules: [
      ...rules.map(({ match, path }) => ({ match, path })),
      ...(hasDefault ? [{ match: undefined, path: defaultPath === "" ? undefined : defaultPath }] : []),
    ],
    deadLetterTopic,
    type,
  };
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
function originOf({ origin }: Pick<SidecarSettings, "origin">): [key: string, value: string | number | undefined][] {
  if (origin === undefined) return [];
  return [
    ["cliPID", origin.cliPid],
    ["runTemplatePath", origin.runFile],
    ["runTemplateName", origin.runName],
    ["appLogPath", origin.appLog],
    ["daprdLogPath", origin.sidecarLog],
  ];
}
