import type { NameResolver } from "../components/contract/name-resolver.ts";
import { standardNameResolvers } from "../components/standard.ts";
import { type AppIdentity, qualifiedName } from "../core/app-id.ts";
import type { CallObserver } from "../core/call-observer.ts";
import type { Clock } from "../core/clock.ts";
import { SetupError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import type { Neighbour, Neighbours } from "../invocation/ports.ts";
import type { HttpCodec } from "../transport/http/http-listener.ts";
import type { Shutdown } from "../transport/http/routes/shutdown.ts";
import { PeerClient } from "../transport/peer/peer-client.ts";
import { upstreamFactory } from "../transport/upstream/upstream-factory.ts";
import { UnluckyPort } from "./bind-ports.ts";
import { Sidecar } from "./sidecar.ts";
import type { SidecarSettings } from "./sidecar-settings.ts";

export interface HostParts {
  /** Outrigger's home directory; exists. */
  readonly home: string;
  readonly clock: Clock;
  /** Reads and writes all HTTP/1.1 of the process. */
  readonly codec: HttpCodec;
  readonly observer: CallObserver;
  /** The ports of all apps that are to be added. */
  readonly appPorts: ReadonlySet<number>;
  /** A logger for the process, or for one app of it. */
  logFor(appId?: string): Logger;
}

const DEFAULT_RESOLVER = "registry";
// Ports that are chosen freely and will not do are rare; so many in a row are no chance.
const MAX_PORT_TRIES = 20;

/**
 * A process with one or more Sidecars. It owns what they share: the name resolver, the connections to peers, and the
 * way from one to the other.
 */
export class Host implements Neighbours {
  readonly #parts: HostParts;
  readonly #peers: PeerClient;
  readonly #sidecars = new Map<string, Sidecar>();
  #resolver: NameResolver | undefined;

  constructor(parts: HostParts) {
    this.#parts = parts;
    const { clock, codec } = parts;
    this.#peers = new PeerClient(clock, upstreamFactory({ codec, clock, log: parts.logFor() }));
  }

  /** @throws {Error} where the name resolver cannot start. */
  async start(): Promise<void> {
    this.#resolver = await createResolver(DEFAULT_RESOLVER, this.#parts);
    await this.#resolver.start();
  }

  /**
   * Starts one more Sidecar.
   *
   * @throws {Error} before `start`; where the process already has that app, or its ports cannot be had. Then nothing of it
   *   is left.
   */
  async add(settings: SidecarSettings, onShutdown: Shutdown): Promise<Sidecar> {
    if (this.#resolver === undefined) throw new Error("the host has not started");
    const name = qualifiedName(settings.app);
    if (this.#sidecars.has(name))
      throw new SetupError(`this process already runs a sidecar for ${name}; give each app its own id`);
    for (let tries = 1; ; tries++) {
      const sidecar = this.#create(settings, this.#resolver, onShutdown);
      try {
        await sidecar.start();
        this.#sidecars.set(name, sidecar);
        return sidecar;
      } catch (error) {
        await sidecar.close();
        if (!(error instanceof UnluckyPort) || tries === MAX_PORT_TRIES) throw error;
      }
    }
  }

  #create(settings: SidecarSettings, resolver: NameResolver, onShutdown: Shutdown): Sidecar {
    const { appPorts, clock, codec, observer } = this.#parts;
    return new Sidecar(settings, {
      resolver,
      neighbours: this,
      peers: this.#peers,
      observer,
      appPorts,
      clock,
      codec,
      log: this.#parts.logFor(settings.app.id),
      onShutdown,
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
  }

  find(app: AppIdentity): Neighbour | undefined {
    return this.#sidecars.get(qualifiedName(app))?.neighbour;
  }

  /** Cuts what is left and gives everything back. May be called twice. */
  async close(): Promise<void> {
    await Promise.all([...this.#sidecars.values()].map((sidecar) => this.cut(sidecar)));
    this.#peers.close();
    await this.#resolver?.close();
  }
}

async function createResolver(name: string, parts: HostParts): Promise<NameResolver> {
  const entry = standardNameResolvers.find((candidate) => candidate.name === name);
  if (entry === undefined) throw new SetupError(`there is no name resolver "${name}"`);
  const manifest = await entry.load();
  return manifest.create({ home: parts.home, clock: parts.clock, log: parts.logFor() });
}
