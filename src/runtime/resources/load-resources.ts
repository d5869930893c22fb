import type { PubSubContext } from "../../components/contract/pubsub.ts";
import { standardMiddleware, standardPubSubs, standardSecretStores } from "../../components/standard.ts";
import type { Clock } from "../../core/clock.ts";
import { messageOf, SetupError } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import type { Pipeline } from "../../invocation/pipeline.ts";
import type { CallRules } from "../../invocation/ports.ts";
import type { SidecarMetrics } from "../../observability/metrics/sidecar-metrics.ts";
import type { EventRules } from "../../pubsub/ports.ts";
import type { AppResources } from "../../resources/app-resources.ts";
import type { ComponentSpec } from "../../resources/component-spec.ts";
import type { Pipelines } from "../../resources/configuration.ts";
import type { SubscriptionSpec } from "../../resources/subscription-spec.ts";
import { endpointsFrom } from "./app-endpoints.ts";
import { AppMiddleware } from "./app-middleware.ts";
import { closeAll, pubsubsFrom, type RunningPubSub } from "./app-pubsubs.ts";
import { SecretStores } from "./secret-stores.ts";

/** What the resources of one app have come to, ready to be used. */
export interface LoadedResources extends CallRules, EventRules {
  /** Some of them may have been there before. Closed by whoever knows whether they go on. */
  readonly pubsubs: ReadonlyMap<string, RunningPubSub>;
  /** `spec.httpPipeline`; undefined where there is nothing in it. */
  readonly httpPipeline: Pipeline | undefined;
  /** Resolves once no call is in their pipelines. */
  whenIdle(): Promise<void>;
  /** Ends what runs behind them. May be called twice. */
  close(): Promise<void>;
}

export interface ResourceSurroundings extends Pick<PubSubContext, "app" | "home" | "processes" | "shared"> {
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly log: Logger;
  /** Undefined where nothing is counted. */
  readonly metrics?: Pick<SidecarMetrics, "components" | "resiliency"> | undefined;
  /** Whether there is one where no resource defines any (design.md, "The default pubsub"). */
  readonly defaultPubSub: boolean;
}

/** What the app has from its first minute, and until a resource says otherwise. */
const DEFAULT_PUBSUB: ComponentSpec = Object.freeze({
  name: "pubsub",
  namespace: undefined,
  type: "pubsub.local",
  version: "v1",
  metadata: [],
  scopes: [],
  secretStore: undefined,
  ignoreErrors: false,
  initTimeoutMs: 5000,
  file: "Outrigger itself",
  lineOf: () => 0,
});

/**
 * Makes them ready. Its secret stores are asked now, and not again.
 *
 * @param before whose circuit breakers live on where their policies have not changed, and whose brokers do where their
 *   Components have not.
 * @throws {SetupError} naming the resource; then nothing of it is left.
 */
export async function loadResources(
  resources: AppResources,
  pipelines: Pipelines,
  surroundings: ResourceSurroundings,
  before: Pick<LoadedResources, "policies" | "pubsubs">,
): Promise<LoadedResources> {
  const { app, home, processes, shared, env, clock, log, metrics, defaultPubSub } = surroundings;
  const starts = metrics?.components;
  const stores = new SecretStores(standardSecretStores, { env, clock, log, starts });
  const middleware = new AppMiddleware({ entries: standardMiddleware, values: stores.values, clock, log, starts });
  let pubsubs: LoadedResources["pubsubs"] = new Map();
  try {
    await stores.start(resources.secretStores);
    middleware.refuseUnknown(resources.middleware);
    const endpoints = await endpointsFrom(resources.endpoints, stores.values);
    const httpPipeline = await middleware.pipeline(pipelines.http, resources);
    const appPipeline = await middleware.pipeline(pipelines.app, resources);
    await refuseBrokenRules(resources.subscriptions);
    const own = {
      app,
      env,
      home,
      processes,
      shared,
      clock,
      log,
      starts,
      values: stores.values,
      entries: standardPubSubs,
    };
    const specs = defaultPubSub && resources.pubsubs.length === 0 ? [DEFAULT_PUBSUB] : resources.pubsubs;
    pubsubs = await pubsubsFrom(specs, before.pubsubs, own);
    return {
      endpoints,
      pubsubs,
      subscriptions: resources.subscriptions,
      httpPipeline,
      appPipeline,
      policies: await policiesFrom(resources.resiliency, surroundings, before.policies),
      whenIdle: async () => {
        await Promise.all([httpPipeline?.whenIdle(), appPipeline?.whenIdle()]);
      },
      close: () => middleware.close(),
    };
  } catch (error) {
    await closeAll([...pubsubs.values()].filter((pubsub) => before.pubsubs.get(pubsub.name) !== pubsub));
    await middleware.close();
    throw error;
  } finally {
    await stores.close();
  }
}

/** Trip expressions are CEL, which is much to load: most apps have none, and all have a broker. */
async function policiesFrom(
  specs: AppResources["resiliency"],
  surroundings: ResourceSurroundings,
  before: LoadedResources["policies"],
): Promise<LoadedResources["policies"]> {
  if (specs.length === 0) return undefined;
  const { loadPolicies } = await import("./load-policies.ts");
  return loadPolicies(specs, surroundings, before);
}

/** @throws {SetupError} naming file and line of a rule that is no CEL expression, and of an ordering key that is none. */
async function refuseBrokenRules(subscriptions: readonly SubscriptionSpec[]): Promise<void> {
  const { eventExpressionsFor } = await import("../../pubsub/event-expressions.ts");
  const expressions = await eventExpressionsFor(subscriptions);
  if (expressions === undefined) return;
  const { RuleError, Routes } = await import("../../pubsub/routing.ts");
  const { orderingKeyOf } = await import("../../pubsub/ordering-key.ts");
  for (const subscription of subscriptions) {
    try {
      new Routes(subscription, expressions);
      orderingKeyOf(subscription, () => undefined, expressions);
    } catch (cause) {
      const { name, file } = subscription;
      const place =
        cause instanceof RuleError ? subscription.placeOfRule(cause.index) : `Subscription ${name} in ${file}`;
      throw new SetupError(`${place}: ${messageOf(cause)}`, { cause });
    }
  }
}
