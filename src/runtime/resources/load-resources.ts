import { standardMiddleware, standardSecretStores } from "../../components/standard.ts";
import type { Clock } from "../../core/clock.ts";
import type { Logger } from "../../core/logger.ts";
import type { Pipeline } from "../../invocation/pipeline.ts";
import type { CallRules } from "../../invocation/ports.ts";
import type { SidecarMetrics } from "../../observability/metrics/sidecar-metrics.ts";
import type { ResiliencyPolicies } from "../../resiliency/resiliency-policies.ts";
import type { AppResources } from "../../resources/app-resources.ts";
import type { Pipelines } from "../../resources/configuration.ts";
import { endpointsFrom } from "./app-endpoints.ts";
import { AppMiddleware } from "./app-middleware.ts";
import { loadPolicies } from "./load-policies.ts";
import { SecretStores } from "./secret-stores.ts";

/** What the resources of one app have come to, ready to be used. */
export interface LoadedResources extends CallRules {
  /** `spec.httpPipeline`; undefined where there is nothing in it. */
  readonly httpPipeline: Pipeline | undefined;
  /** Resolves once no call is in their pipelines. */
  whenIdle(): Promise<void>;
  /** Ends what runs behind them. May be called twice. */
  close(): Promise<void>;
}

export interface ResourceSurroundings {
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly log: Logger;
  /** Undefined where nothing is counted. */
  readonly metrics?: Pick<SidecarMetrics, "components" | "resiliency"> | undefined;
}

/**
 * Makes them ready. Its secret stores are asked now, and not again.
 *
 * @param before whose circuit breakers live on where their policies have not changed.
 * @throws {SetupError} naming the resource; then nothing of it is left.
 */
export async function loadResources(
  resources: AppResources,
  pipelines: Pipelines,
  surroundings: ResourceSurroundings,
  before?: ResiliencyPolicies,
): Promise<LoadedResources> {
  const { env, clock, log, metrics } = surroundings;
  const starts = metrics?.components;
  const stores = new SecretStores(standardSecretStores, { env, clock, log, starts });
  const middleware = new AppMiddleware({ entries: standardMiddleware, values: stores.values, clock, log, starts });
  try {
    await stores.start(resources.secretStores);
    middleware.refuseUnknown(resources.middleware);
    const endpoints = await endpointsFrom(resources.endpoints, stores.values);
    const httpPipeline = await middleware.pipeline(pipelines.http, resources);
    const appPipeline = await middleware.pipeline(pipelines.app, resources);
    return {
      endpoints,
      httpPipeline,
      appPipeline,
      policies:
        resources.resiliency.length === 0 ? undefined : loadPolicies(resources.resiliency, surroundings, before),
      whenIdle: async () => {
        await Promise.all([httpPipeline?.whenIdle(), appPipeline?.whenIdle()]);
      },
      close: () => middleware.close(),
    };
  } catch (error) {
    await middleware.close();
    throw error;
  } finally {
    await stores.close();
  }
}
