import type { Clock } from "../../core/clock.ts";
import type { Upstream, UpstreamFactory } from "../upstream/upstream.ts";

// A peer adds its own headers to what an app may send, so it gets a little more room than an app.
const MAX_HEADER_BYTES = 288 * 1024;
// daprd lets go of a peer it has not called for three minutes (A5).
const UNUSED_PEER_MS = 3 * 60_000;

export interface PeerAddress {
  readonly host: string;
  readonly port: number;
}

/** What is known of who listens at an address that nothing vouches for. */
export type PeerNature =
  | { readonly kind: "unknown" }
  /** It has proved to be the sidecar of that app, by its qualified name. */
  | { readonly kind: "outrigger"; readonly name: string }
  /** It has answered in daprd's form, and did not know what to prove. */
  | { readonly kind: "daprd" };

const UNKNOWN = { kind: "unknown" } as const;

/** The sidecar at one address, and the connections to it. */
export class Peer {
  nature: PeerNature = UNKNOWN;
  lastUsed = 0;
  #hasAnswered = false;
  readonly #create: (wire: { readonly wire?: { readonly kind: "h2c" } }) => Upstream;
  #lean: Upstream | undefined;
  #http2: Upstream | undefined;

  constructor({ host, port }: PeerAddress, createUpstream: UpstreamFactory) {
    const options = { host, port, maxConnections: Number.POSITIVE_INFINITY, maxHeaderBytes: MAX_HEADER_BYTES };
    this.#create = (wire) => createUpstream({ ...options, ...wire });
  }

  /** HTTP/1.1, for the lean hop. */
  get lean(): Upstream {
    this.#lean ??= this.#create({});
    return this.#lean;
  }

  /** HTTP/2, for gRPC. */
  get http2(): Upstream {
    this.#http2 ??= this.#create({ wire: { kind: "h2c" } });
    return this.#http2;
  }

  /** Whether a sidecar has ever answered there. One that is lost since is no wrong address. */
  get hasAnswered(): boolean {
    return this.#hasAnswered;
  }

  noteAnswer(): void {
    this.#hasAnswered = true;
  }

  /** Whoever listens there is somebody else, or nobody. */
  forget(): void {
    this.nature = UNKNOWN;
  }

  get isConnected(): boolean {
    return this.#lean?.isConnected === true || this.#http2?.isConnected === true;
  }

  destroy(): void {
    this.#lean?.destroy();
    this.#http2?.destroy();
  }
}

/** The connections to the sidecars of other processes, and what has been learned of each, for as long as it is called. */
export class PeerConnections {
  readonly #peers = new Map<string, Peer>();
  readonly #sweep: NodeJS.Timeout;
  readonly #clock: Clock;
  readonly #createUpstream: UpstreamFactory;

  constructor(clock: Clock, createUpstream: UpstreamFactory) {
    this.#clock = clock;
    this.#createUpstream = createUpstream;
    this.#sweep = setInterval(() => {
      this.#dropUnused();
    }, UNUSED_PEER_MS / 3);
    this.#sweep.unref();
  }

  at(address: PeerAddress): Peer {
    const key = `${address.host} ${address.port}`;
    let peer = this.#peers.get(key);
    if (peer === undefined) {
      peer = new Peer(address, this.#createUpstream);
      this.#peers.set(key, peer);
    }
    peer.lastUsed = this.#clock.monotonic();
    return peer;
  }

  close(): void {
    clearInterval(this.#sweep);
    for (const peer of this.#peers.values()) peer.destroy();
    this.#peers.clear();
  }

  /** Idle connections have long ended by themselves; one that is left has a call on it, which {@link close} is to cut. */
  #dropUnused(): void {
    for (const [key, peer] of this.#peers) {
      const isUnused = this.#clock.monotonic() - peer.lastUsed >= UNUSED_PEER_MS;
      if (isUnused && !peer.isConnected) this.#peers.delete(key);
    }
  }
}
