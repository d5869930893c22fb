import type { ApiObserver, GrpcApiCall, HttpApiCall } from "../../core/api-observer.ts";
import type { AppIdentity } from "../../core/app-id.ts";
import type { Clock } from "../../core/clock.ts";
import type { Logger } from "../../core/logger.ts";
import type { MetricsSpec } from "../../resources/metrics-spec.ts";
import { categoryOf } from "./error-category.ts";
import type { Family } from "./family.ts";
import { GrpcMetrics } from "./grpc-metrics.ts";
import { HttpMetrics } from "./http-metrics.ts";
import { InvocationMetrics } from "./invocation-metrics.ts";
import { MeasuredCalls } from "./measured-calls.ts";
import { PathLabels } from "./path-labels.ts";
import { processExposition } from "./process-metrics.ts";
import { PubSubMetrics } from "./pubsub-metrics.ts";
import { MetricRegistry } from "./registry.ts";
import { AccessMetrics, ComponentMetrics, ResiliencyMetrics } from "./runtime-metrics.ts";
import type { Counter } from "./slots.ts";

/** Milliseconds; daprd's. */
const LATENCY_BOUNDS = [
  ...[1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 30, 40, 50, 65, 80, 100, 130, 160, 200, 250, 300, 400, 500, 650, 800],
  ...[1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000],
];

export interface SidecarMetricsOptions {
  readonly app: AppIdentity;
  readonly spec: MetricsSpec;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What is counted of one sidecar, under Dapr's names (A9), and its text for Prometheus. */
export class SidecarMetrics implements ApiObserver {
  readonly components: ComponentMetrics;
  readonly access: AccessMetrics;
  readonly resiliency: ResiliencyMetrics;
  readonly pubsub: PubSubMetrics;
  /** The ways that calls take, each with what counts on it. */
  readonly ways: MeasuredCalls;
  readonly #registry: MetricRegistry;
  readonly #http: HttpMetrics;
  readonly #grpc: GrpcMetrics;
  /** Undefined without `recordErrorCodes`. */
  readonly #errors: Family<Counter> | undefined;

  constructor({ app, spec, clock, log }: SidecarMetricsOptions) {
    const registry = new MetricRegistry({ appId: app.id, rules: spec.rules, log });
    const bounds = spec.latencyBuckets ?? LATENCY_BOUNDS;
    this.#registry = registry;
    this.#http = new HttpMetrics(registry, new PathLabels(spec.http), bounds);
    this.#grpc = new GrpcMetrics(registry, bounds);
    const invocations = new InvocationMetrics(registry, bounds);
    this.components = new ComponentMetrics(registry);
    this.access = new AccessMetrics(registry);
    this.resiliency = new ResiliencyMetrics(registry, app.namespace);
    this.pubsub = new PubSubMetrics(registry, app.namespace, bounds);
    this.#errors = spec.recordErrorCodes
      ? registry.counter("error_code_total", "Errors of the API, by their code.", "category", "error_code")
      : undefined;
    this.ways = new MeasuredCalls({ http: this.#http, grpc: this.#grpc, invocations, clock });
  }

  httpAnswered(call: HttpApiCall): void {
    this.#http.served(call);
  }

  grpcAnswered(call: GrpcApiCall): void {
    this.#grpc.served(call);
  }

  errorAnswered(errorCode: string): void {
    this.#errors?.slot(categoryOf(errorCode), errorCode).add();
  }

  /** Prometheus' text format, in pieces. */
  *exposition(): Generator<string> {
    yield processExposition();
    yield* this.#registry.exposition();
  }
}
