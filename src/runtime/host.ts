import type { Processes } from "../components/contract/processes.ts";
import type { ApiObserver } from "../core/api-observer.ts";
import { type AppIdentity, qualifiedName } from "../core/app-id.ts";
import type { CallObserver } from "../core/call-observer.ts";
import type { Clock } from "../core/clock.ts";
import { SetupError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import type { Neighbour, Neighbours } from "../invocation/ports.ts";
import { BothObservers } from "../observability/both-observers.ts";
import type { SidecarMetrics } from "../observability/metrics/sidecar-metrics.ts";
import type { ClosableTracer } from "../observability/tracing/otel-tracer.ts";
import type { HttpCodec } from "../transport/http/http-listener.ts";
import type { Shutdown } from "../transport/http/routes/shutdown.ts";
import { EndpointClient } from "../transport/outbound/endpoint-client.ts";
import { PeerClient } from "../transport/peer/peer-client.ts";
import { upstreamFactory } from "../transport/upstream/upstream-factory.ts";
import { UnluckyPort } from "./bind-ports.ts";
import { NameResolvers } from "./name-resolvers.ts";
import { identityOf, mayBeAlive } from "./registry/process-identity.ts";
import { Registry } from "./registry/registry.ts";
import type { FolderWatches } from "./resources/folder-watches.ts";
import { LiveResources } from "./resources/live-resources.ts";
import { ProcessParts } from "./shared-parts.ts";
import { Sidecar, type SidecarSurroundings } from "./sidecar.ts";
import type { SidecarSettings } from "./sidecar-settings.ts";
import { tracerFor } from "./tracing.ts";

export interface HostParts {
  /** Outrigger's home directory; exists. */
  readonly home: string;
  readonly clock: Clock;
  /** Reads and writes all HTTP/1.1 of the process. */
  readonly codec: HttpCodec;
  readonly observer: CallObserver;
  /** The ports of all apps that are to be added. */
  readonly appPorts: ReadonlySet<number>;
  /** A logger for the process, or for one app of it. @param scope who speaks, where it is not Outrigger as such. */
  logFor(appId?: string, scope?: string): Logger;
}

type OfOneSidecar = Pick<
  SidecarSurroundings,
  "resolver" | "resources" | "tracer" | "onShutdown" | "metrics" | "apiObserver"
>;

// Ports that are chosen freely and will not do are rare; so many in a row are no chance.
const MAX_PORT_TRIES = 20;

/**
 * A process with one or more Sidecars. It owns what they share: the registry, the name resolvers, the connections to
 * peers, and the way from one to the other.
 */
export class Host implements Neighbours {
  readonly #parts: HostParts;
  readonly #peers: PeerClient;
  readonly #endpoints: EndpointClient;
  readonly #sidecars = new Map<string, Sidecar>();
  readonly #registry: Registry;
  readonly #resolvers: NameResolvers;
  readonly #shared = new ProcessParts();
  readonly #processes: Processes = { own: identityOf(process.pid), mayBeAlive };
  /** Loaded with the first app that has folders to watch. */
  #watches: Promise<FolderWatches> | undefined;
  #started = false;

  constructor(parts: HostParts) {
    this.#parts = parts;
    const { home, clock, codec } = parts;
    const log = parts.logFor();
    this.#peers = new PeerClient(clock, upstreamFactory({ codec, clock, log }));
    this.#endpoints = new EndpointClient(clock, upstreamFactory({ codec, clock, log }));
    this.#registry = new Registry({ home, clock, log });
    const hosts = (app: AppIdentity): boolean => this.find(app) !== undefined;
    this.#resolvers = new NameResolvers({ registry: this.#registry, hosts, clock, log });
  }

  /** @throws {SetupError} where the registry cannot be opened. */
  async start(): Promise<void> {
    await this.#registry.start();
    this.#started = true;
  }

  /**
   * Starts one more Sidecar.
   *
   * @throws {Error} before `start`; where the process already has that app, its name resolver cannot be had, or its
   *   ports. Then nothing of it is left.
   */
  async add(settings: SidecarSettings, onShutdown: Shutdown): Promise<Sidecar> {
    if (!this.#started) throw new Error("the host has not started");
    const name = qualifiedName(settings.app);
    if (this.#sidecars.has(name))
      throw new SetupError(`this process already runs a sidecar for ${name}; give each app its own id`);
    const resolver = await this.#resolvers.get(settings.nameResolution);
    const metrics = await this.#metricsOf(settings);
    const apiObserver = await this.#apiObserverOf(settings, metrics);
    const resources = await this.#resourcesOf(settings, metrics);
    let tracer: ClosableTracer | undefined;
    try {
      const { clock } = this.#parts;
      tracer = await tracerFor(settings, { env: process.env, clock, log: this.#parts.logFor(settings.app.id) });
      return await this.#start(settings, { resolver, resources, tracer, metrics, apiObserver, onShutdown });
    } catch (error) {
      await tracer?.close();
      await resources.close();
      throw error;
    }
  }

  async #start(settings: SidecarSettings, own: OfOneSidecar): Promise<Sidecar> {
    for (let tries = 1; ; tries++) {
      const sidecar = this.#create(settings, own);
      try {
        await sidecar.start();
        this.#sidecars.set(qualifiedName(settings.app), sidecar);
        return sidecar;
      } catch (error) {
        await sidecar.close();
        if (!(error instanceof UnluckyPort) || tries === MAX_PORT_TRIES) throw error;
      }
    }
  }

  /** @throws {SetupError} naming the resource that cannot be used. */
  async #resourcesOf(
    { app, defaultPubSub, pipelines, resources, resourceWatch }: SidecarSettings,
    metrics: SidecarMetrics | undefined,
  ): Promise<LiveResources> {
    const { clock, home } = this.#parts;
    const log = this.#parts.logFor(app.id);
    const [processes, shared] = [this.#processes, this.#shared];
    const of = { app, home, processes, shared, defaultPubSub };
    const live = new LiveResources(pipelines, { ...of, env: process.env, clock, log, metrics });
    await live.load(resources);
    if (resourceWatch === undefined) return live;
    this.#watches ??= import("./resources/folder-watches.ts").then((it) => new it.FolderWatches(this.#parts.logFor()));
    const { ResourceReload } = await import("./resources/resource-reload.ts");
    const [watch, watches] = [resourceWatch, await this.#watches];
    live.follow(new ResourceReload({ app, resources, watch, watches, log, load: (read) => live.load(read) }));
    return live;
  }

  /** Who counts nothing does not load what counts. */
  async #metricsOf({ app, metrics }: SidecarSettings): Promise<SidecarMetrics | undefined> {
    if (metrics === undefined) return undefined;
    const { SidecarMetrics } = await import("../observability/metrics/sidecar-metrics.ts");
    const { clock } = this.#parts;
    return new SidecarMetrics({ app, spec: metrics.spec, clock, log: this.#parts.logFor(app.id) });
  }

  async #apiObserverOf(
    { app, apiLogging: spec }: SidecarSettings,
    metrics: SidecarMetrics | undefined,
  ): Promise<ApiObserver | undefined> {
    if (spec === undefined) return metrics;
    const { ApiLog, GRPC_API_SCOPE, HTTP_API_SCOPE } = await import("../observability/api-log.ts");
    const parts = this.#parts;
    const [http, grpc] = [parts.logFor(app.id, HTTP_API_SCOPE), parts.logFor(app.id, GRPC_API_SCOPE)];
    const log = new ApiLog({ spec, http, grpc });
    return metrics === undefined ? log : new BothObservers(metrics, log);
  }

  #create(settings: SidecarSettings, own: OfOneSidecar): Sidecar {
    const { appPorts, clock, codec, observer } = this.#parts;
    return new Sidecar(settings, {
      ...own,
      registry: this.#registry,
      endpointCaller: this.#endpoints,
      neighbours: this,
      peers: this.#peers,
      observer,
      appPorts,
      clock,
      codec,
      log: this.#parts.logFor(settings.app.id),
    });
  }

  /** The other Sidecars find this one no more. */
  forget(sidecar: Sidecar): void {
    this.#sidecars.delete(qualifiedName(sidecar.settings.app));
  }

  /** Ends one Sidecar at once, whatever runs on it. */
  async cut(sidecar: Sidecar): Promise<void> {
    this.forget(sidecar);
    await sidecar.close();
    await sidecar.tracer?.close();
    await sidecar.resources.close();
  }

  find(app: AppIdentity): Neighbour | undefined {
    return this.#sidecars.get(qualifiedName(app))?.neighbour;
  }

  /** Cuts what is left and gives everything back. May be called twice. */
  async close(): Promise<void> {
    await Promise.all([...this.#sidecars.values()].map((sidecar) => this.cut(sidecar)));
    this.#peers.close();
    this.#endpoints.close();
    await this.#resolvers.close();
    await this.#registry.close();
  }
}
