import { randomBytes, randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { Announcement, NameResolver } from "../components/contract/name-resolver.ts";
import type { ApiObserver } from "../core/api-observer.ts";
import type { CallObserver } from "../core/call-observer.ts";
import type { Clock } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import type { ResponseMessage } from "../core/message.ts";
import { DEFAULT_TRUST_DOMAIN, spiffeIdOf } from "../core/spiffe-id.ts";
import { ConcurrencyLimit } from "../invocation/concurrency-limit.ts";
import { Invoker } from "../invocation/invoker.ts";
import type { EndpointCaller, Neighbour, Neighbours, PeerCaller, ReceivedCall } from "../invocation/ports.ts";
import { tracedNeighbour } from "../invocation/received-span.ts";
import { Receiver } from "../invocation/receiver.ts";
import { StartGate } from "../invocation/start-gate.ts";
import { TracedEndpoints } from "../invocation/traced-endpoints.ts";
import type { SidecarMetrics } from "../observability/metrics/sidecar-metrics.ts";
import type { ClosableTracer } from "../observability/tracing/otel-tracer.ts";
import { Publisher } from "../pubsub/publisher.ts";
import { Subscriptions } from "../pubsub/subscriptions.ts";
import { AccessControl } from "../security/access-control.ts";
import { ApiTokens } from "../security/api-token.ts";
import { isGrpcApp } from "../transport/app/app-protocol.ts";
import { bodyLimit } from "../transport/body-limit.ts";
import { GrpcServer } from "../transport/grpc/grpc-server.ts";
import { ApiServer } from "../transport/http/api-server.ts";
import type { HttpCodec } from "../transport/http/http-listener.ts";
import { MetricsServer } from "../transport/http/metrics-server.ts";
import { PublicServer } from "../transport/http/public-server.ts";
import type { ComponentDescription } from "../transport/http/routes/metadata.ts";
import type { Shutdown } from "../transport/http/routes/shutdown.ts";
import { PeerServer } from "../transport/peer/peer-server.ts";
import { apiHost } from "./api-place.ts";
import { appChannel, appProbe, type ClosableChannel, eventApp } from "./app-channel.ts";
import { AppHealthWatch } from "./app-health-watch.ts";
import { bindPorts, type SidecarPorts } from "./bind-ports.ts";
import { Readiness } from "./readiness.ts";
import type { Registration, Registry } from "./registry/registry.ts";
import type { RunningPubSub } from "./resources/app-pubsubs.ts";
import type { LiveResources } from "./resources/live-resources.ts";
import { SidecarMetadata } from "./sidecar-metadata.ts";
import type { SidecarSettings } from "./sidecar-settings.ts";

// What a caller may take from finding an instance to being connected with it.
const CONNECT_MARGIN_MS = 100;
// Whoever resolves by the registry may have read it a second ago, whatever this Sidecar resolves by itself.
const REGISTRY_STALE_MS = 1000;
// Spans of the last calls are sent even where those have used up the grace, and nobody waits long for a collector that is down.
const MIN_FLUSH_MS = 250;
const MAX_FLUSH_MS = 2000;

/** What the process lends to each of its Sidecars. */
export interface SidecarSurroundings {
  readonly registry: Pick<Registry, "register">;
  /** The one that this Sidecar's Configuration asks for. */
  readonly resolver: NameResolver;
  readonly resources: LiveResources;
  /** Undefined where traces are only passed on. */
  readonly tracer: ClosableTracer | undefined;
  readonly endpointCaller: EndpointCaller;
  readonly neighbours: Neighbours;
  readonly peers: PeerCaller;
  readonly observer: CallObserver;
  /** Undefined where nothing is counted. */
  readonly metrics?: SidecarMetrics | undefined;
  /** Of the calls of the APIs; undefined where nobody counts or logs them. */
  readonly apiObserver?: ApiObserver | undefined;
  /** Of all apps of the process, which may be yet to start: no port that is chosen freely may be one of them. */
  readonly appPorts: ReadonlySet<number>;
  readonly clock: Clock;
  readonly codec: HttpCodec;
  readonly log: Logger;
  /** Called when the app asks its sidecar to end. */
  readonly onShutdown: Shutdown;
}

/**
 * One app's identity and doors. Many live in one process and share nothing but what they are lent.
 *
 * Life: `start`, any number of calls, `finishInbound`, `finishOutbound`, `finishApi`, `close`. `close` may be called at any time, and twice.
 */
export class Sidecar {
  readonly settings: SidecarSettings;
  /** Closed by whoever made them. */
  readonly resources: LiveResources;
  /** The same. */
  readonly tracer: ClosableTracer | undefined;
  /** How the other Sidecars of this process call this one. */
  readonly neighbour: Neighbour;
  /** The same without a span around each call. */
  readonly #direct: Neighbour;
  readonly #surroundings: SidecarSurroundings;
  readonly #channel: ClosableChannel | undefined;
  readonly #receiver: Receiver;
  readonly #invoker: Invoker;
  readonly #publisher: Publisher;
  readonly #subscriptions: Subscriptions;
  readonly #gate: StartGate;
  /** Undefined where the app is not probed. */
  readonly #health: AppHealthWatch | undefined;
  readonly #metadata: SidecarMetadata;
  readonly #readiness: Readiness;
  readonly #controlToken = randomBytes(16).toString("hex");
  readonly #api: ApiServer;
  readonly #peer: PeerServer;
  readonly #grpc: GrpcServer;
  /** Undefined without `--dapr-public-port`. */
  readonly #public: PublicServer | undefined;
  /** Undefined where nothing is counted. */
  readonly #metrics: MetricsServer | undefined;
  #registration: Registration | undefined;
  #announcement: Announcement | undefined;
  #ports: SidecarPorts | undefined;
  /** Of the monotonic clock; undefined until the end begins. */
  #graceEndsAt: number | undefined;

  constructor(settings: SidecarSettings, surroundings: SidecarSurroundings) {
    this.settings = settings;
    this.resources = surroundings.resources;
    this.tracer = surroundings.tracer;
    this.#surroundings = surroundings;
    this.#readiness = new Readiness(settings.app.id, settings.appPort !== undefined);
    const { metrics } = surroundings;
    this.#channel = appChannel(settings, surroundings, this.resources, metrics?.ways);
    this.#gate = new StartGate(surroundings.clock, settings.appStartPatienceMs);
    this.#health = this.#buildHealth();
    this.#receiver = new Receiver({
      channel: this.#channel,
      speaksGrpc: isGrpcApp(settings.appProtocol),
      access: accessControlOf(settings),
      onJudged:
        metrics &&
        ((...judged) => {
          metrics.access.judged(...judged);
        }),
      log: surroundings.log,
      limit: new ConcurrencyLimit(settings.appMaxConcurrency, settings.appMaxQueue),
      gate: this.#gate,
      health: this.#health?.health,
      limitBody: bodyLimit(settings.maxBodyBytes),
    });
    this.#metadata = new SidecarMetadata(settings, this.resources, {
      components: () => [...this.resources.pubsubs.values()].map(describePubSub),
      subscriptions: () => this.#subscriptions.active,
    });
    const receive = (call: ReceivedCall): Promise<ResponseMessage> => this.#receiver.receive(call);
    const direct = { instanceId: randomUUID(), receive: metrics?.ways.receive(receive) ?? receive };
    // Calls from other processes have their span from the PeerServer's reception.
    this.#direct = direct;
    this.neighbour = this.tracer === undefined ? direct : tracedNeighbour(this.tracer, settings.app.id, direct);
    this.#invoker = this.#buildInvoker();
    const { clock } = surroundings;
    const events = { appId: settings.app.id, rules: this.resources, observer: metrics?.pubsub, clock };
    this.#publisher = new Publisher(events);
    const { log } = surroundings;
    const app = eventApp(settings, this.#receiver, log);
    const { tracer } = this;
    this.#subscriptions = new Subscriptions({ ...events, app, tracer, random: Math.random, log });
    this.resources.onChange(() => this.#subscriptions.follow());
    this.#api = this.#buildApi();
    this.#grpc = this.#buildGrpc();
    this.#peer = this.#buildPeer();
    this.#public = this.#buildPublic();
    this.#metrics = this.#buildMetrics();
  }

  /** The ports that are bound. @throws {Error} before `start`. */
  get ports(): SidecarPorts {
    if (this.#ports === undefined) throw new Error("the sidecar has not started");
    return this.#ports;
  }

  /**
   * Binds every port, then makes the app findable.
   *
   * @throws {SetupError} as {@link bindPorts} does; what was bound until then is given back by `close`.
   */
  async start(): Promise<void> {
    const [api, peer, open] = [this.#api.listener, this.#peer.listener, this.#public?.listener];
    const doors = { api, grpc: this.#grpc.listener, peer, public: open, metrics: this.#metrics?.listener };
    this.#ports = await bindPorts(this.settings, doors, this.#surroundings.appPorts);
    await this.#announce(this.#ports);
    // Those of resources are known before the app takes events.
    void this.#subscriptions.follow();
    this.#readiness.markListening();
  }

  /** The app answers on its port: calls may come, once it is healthy where that is asked. */
  markAppReady(): void {
    this.#readiness.markAppReady();
    if (this.#health === undefined) {
      this.#gate.open();
      this.#subscriptions.open();
      return;
    }
    this.#health.health.onChange(({ healthy }) => {
      if (healthy) this.#subscriptions.open();
      else this.#subscriptions.pause();
    });
    this.#health.start();
  }

  async recordAppProcess(appPid: number): Promise<void> {
    this.#metadata.setExtended("appPID", String(appPid));
    await this.#registration?.update({ appPid });
  }

  /** Lets the calls to the app finish; no new ones come from other processes. The app may call out as ever. */
  async finishInbound(): Promise<void> {
    // The grace begins now.
    this.#graceLeft();
    this.#readiness.markEnding();
    // No new events, before anything else that the app could miss while it works on them.
    const undelivered = this.#subscriptions.end(this.#graceLeft());
    await this.#withdraw();
    this.#peer.listener.announceClosing();
    this.#api.listener.announceClosing();
    this.#grpc.listener.announceClosing();
    this.#public?.listener.announceClosing();
    await this.#untilForgotten();
    this.#peer.listener.stopAccepting();
    await this.#within(this.#graceLeft(), Promise.all([undelivered, this.#inboundIdle()]));
  }

  /**
   * Then lets the calls of the app finish. It may go on to call, so that it is told to end before it meets a closed door;
   * only where it never pauses, new calls are refused from some time on.
   */
  async finishOutbound(): Promise<void> {
    if (!(await this.#within(this.#graceLeft() / 2, this.#outboundIdle()))) await this.finishApi();
    // The app is to end next, which is no failure of its.
    this.#health?.close();
  }

  /** Then takes no calls at all, and lets finish what runs. */
  async finishApi(): Promise<void> {
    this.#api.listener.stopAccepting();
    this.#grpc.listener.stopAccepting();
    this.#public?.listener.stopAccepting();
    await this.#within(this.#graceLeft(), Promise.all([this.#outboundIdle(), this.#inboundIdle()]));
    await this.tracer?.flush(Math.max(Math.min(this.#graceLeft(), MAX_FLUSH_MS), MIN_FLUSH_MS));
  }

  /** Whether `gracefulShutdownMs` have passed since {@link finishInbound} was asked. What still runs may be cut. */
  get isOverdue(): boolean {
    return this.#graceLeft() === 0;
  }

  /** Gives back every port and connection, whatever runs on them. */
  async close(): Promise<void> {
    this.#readiness.markEnding();
    await Promise.all([this.#subscriptions.end(0), this.#withdraw()]);
    this.#api.listener.destroy();
    this.#peer.listener.destroy();
    this.#grpc.listener.destroy();
    this.#public?.listener.destroy();
    this.#metrics?.listener.destroy();
    this.#health?.close();
    this.#channel?.close();
  }

  /**
   * Callers elsewhere may have looked for this instance just before it was withdrawn. They are served, for what they have
   * begun to send they may not be able to send again. Where none is connected, none is waited for.
   */
  async #untilForgotten(): Promise<void> {
    if (!this.#peer.listener.hasConnections) return;
    const { clock, resolver } = this.#surroundings;
    const staleMs = Math.max(resolver.staleMs, REGISTRY_STALE_MS);
    await clock.sleep(Math.min(this.#graceLeft(), staleMs + CONNECT_MARGIN_MS));
  }

  /** Never rejects: an entry that stays ends with its lease, and what comes next gives back the ports. */
  async #withdraw(): Promise<void> {
    const places = [this.#registration, this.#announcement].filter((place) => place !== undefined);
    for (const result of await Promise.allSettled(places.map((place) => place.withdraw()))) {
      if (result.status === "fulfilled") continue;
      this.#surroundings.log.error(
        "the instance could not be withdrawn: others may try to call it until they notice that it is gone",
        { error: messageOf(result.reason) },
      );
    }
  }

  async #outboundIdle(): Promise<void> {
    await Promise.all([this.#api.listener.whenIdle(), this.#grpc.listener.whenIdle()]);
  }

  async #inboundIdle(): Promise<void> {
    await Promise.all([this.#peer.listener.whenIdle(), this.#receiver.whenIdle()]);
  }

  #graceLeft(): number {
    const now = this.#surroundings.clock.monotonic();
    this.#graceEndsAt ??= now + this.settings.gracefulShutdownMs;
    return Math.max(0, this.#graceEndsAt - now);
  }

  /** @returns whether `work` was done in time. */
  async #within(ms: number, work: Promise<unknown>): Promise<boolean> {
    const timer = new AbortController();
    const late = this.#surroundings.clock.sleep(ms, timer.signal).then(() => false);
    // Rejects when it is called off, which is not news.
    late.catch(() => undefined);
    const done = await Promise.race([work.then(() => true), late]);
    timer.abort();
    return done;
  }

  #buildHealth(): AppHealthWatch | undefined {
    const { appHealth, appStartPatienceMs } = this.settings;
    const probe = appHealth === undefined ? undefined : appProbe(this.settings, appHealth, this.#surroundings);
    if (appHealth === undefined || probe === undefined) return undefined;
    const { clock, log } = this.#surroundings;
    return new AppHealthWatch({
      settings: appHealth,
      probe,
      gate: this.#gate,
      startPatienceMs: appStartPatienceMs,
      clock,
      log,
    });
  }

  #traced(endpoints: EndpointCaller): EndpointCaller {
    return this.tracer === undefined ? endpoints : new TracedEndpoints(endpoints, this.tracer);
  }

  #buildApi(): ApiServer {
    const { settings } = this;
    const { apiObserver: observer, clock, codec, log, onShutdown } = this.#surroundings;
    return new ApiServer({
      observer,
      clock,
      invocation: { invoker: this.#invoker, maxBodyBytes: settings.maxBodyBytes },
      publisher: this.#publisher,
      outriggerApi: {
        rules: this.resources,
        subscriptions: this.#subscriptions,
        publisher: this.#publisher,
        clock,
        maxBodyBytes: settings.maxBodyBytes,
      },
      rules: this.resources,
      health: this.#readiness,
      metadata: this.#metadata,
      shutdown: onShutdown,
      tokens: new ApiTokens(settings.apiTokens),
      controlTokens: new ApiTokens([this.#controlToken]),
      allowedOrigins: settings.allowedOrigins,
      codec,
      http2: settings.apiHttp2,
      readBufferBytes: settings.readBufferBytes,
      tracer: this.tracer,
      log,
    });
  }

  #buildGrpc(): GrpcServer {
    const { apiTokens, maxBodyBytes, readBufferBytes } = this.settings;
    const { apiObserver: observer, codec, clock, log, onShutdown } = this.#surroundings;
    return new GrpcServer({
      observer,
      invoker: this.#invoker,
      publisher: this.#publisher,
      subscriptions: this.#subscriptions,
      health: this.#readiness,
      metadata: this.#metadata,
      shutdown: onShutdown,
      tokens: new ApiTokens(apiTokens),
      maxMessageBytes: maxBodyBytes,
      codec,
      readBufferBytes,
      tracer: this.tracer,
      clock,
      log,
    });
  }

  #buildPublic(): PublicServer | undefined {
    const { publicPort, apiTokens, readBufferBytes } = this.settings;
    if (publicPort === undefined) return undefined;
    const { codec, log } = this.#surroundings;
    const tokens = new ApiTokens(apiTokens);
    return new PublicServer({ health: this.#readiness, metadata: this.#metadata, tokens, codec, readBufferBytes, log });
  }

  #buildMetrics(): MetricsServer | undefined {
    const { codec, log, metrics } = this.#surroundings;
    if (metrics === undefined) return undefined;
    const { readBufferBytes } = this.settings;
    return new MetricsServer({ codec, readBufferBytes, log, exposition: () => metrics.exposition() });
  }

  #buildInvoker(): Invoker {
    const { accessControl, app, grpcErrorStatus, hostAddress, preservePath, safeRetries } = this.settings;
    const { neighbours, peers, endpointCaller, resolver, observer, clock, metrics } = this.#surroundings;
    const ways = metrics?.ways;
    const host = { address: hostAddress, hostname: hostname() };
    return new Invoker({
      self: app,
      identity: spiffeIdOf(accessControl?.trustDomain ?? DEFAULT_TRUST_DOMAIN, app),
      host,
      receiver: this.#receiver,
      neighbours: ways?.neighbours(neighbours) ?? neighbours,
      peers: ways?.peers(peers) ?? peers,
      rules: this.resources,
      endpointCaller: this.#traced(ways?.endpoints(endpointCaller) ?? endpointCaller),
      safeRetries,
      resolver,
      observer,
      clock,
      preservePath,
      grpcErrorStatus,
    });
  }

  #buildPeer(): PeerServer {
    const { app, maxBodyBytes, readBufferBytes } = this.settings;
    const { observer, clock, codec, log } = this.#surroundings;
    return new PeerServer({
      self: app,
      receiver: this.#direct,
      observer,
      tracer: this.tracer,
      clock,
      codec,
      readBufferBytes,
      maxMessageBytes: maxBodyBytes,
      log,
    });
  }

  async #announce(ports: SidecarPorts): Promise<void> {
    const { app, appPort, command, gracefulShutdownMs, hostAddress, internalListenAddress, listenAddresses, origin } =
      this.settings;
    const { registry, resolver } = this.#surroundings;
    const instance = {
      app,
      instanceId: this.neighbour.instanceId,
      host: listensEverywhere(internalListenAddress) ? "127.0.0.1" : internalListenAddress,
      port: ports.internal,
      wire: "lean",
    } as const;
    this.#registration = await registry.register(instance, {
      pid: process.pid,
      apiHost: apiHost(listenAddresses),
      httpPort: typeof ports.http === "number" ? ports.http : undefined,
      grpcPort: typeof ports.grpc === "number" ? ports.grpc : undefined,
      metricsPort: ports.metrics,
      httpSocket: typeof ports.http === "string" ? ports.http : undefined,
      grpcSocket: typeof ports.grpc === "string" ? ports.grpc : undefined,
      appPort,
      appPid: undefined,
      command,
      startedAtMs: this.#surroundings.clock.now(),
      gracefulShutdownMs,
      origin,
      controlToken: this.#controlToken,
    });
    const announced = listensEverywhere(internalListenAddress) ? { ...instance, host: hostAddress } : instance;
    this.#announcement = await resolver.announce(announced);
  }
}

function describePubSub({ name, type, version, broker: { features } }: RunningPubSub): ComponentDescription {
  return { name, type, version, capabilities: features.size === 0 ? undefined : [...features] };
}

function accessControlOf({ accessControl }: SidecarSettings): AccessControl | undefined {
  return accessControl === undefined ? undefined : new AccessControl(accessControl);
}

/** Who does is reached by its neighbours on this machine over loopback, and by others at the address of the host. */
function listensEverywhere(listenAddress: string): boolean {
  return listenAddress === "0.0.0.0" || listenAddress === "::";
}
