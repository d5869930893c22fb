import https from "node:https";
import { isIP, type Socket } from "node:net";
import tls from "node:tls";
import type { Dialer } from "./dialer.ts";
import { agentOptions, type NodeWire } from "./node-upstream.ts";
import type { TlsTrust, UpstreamOptions } from "./upstream.ts";

/** HTTP/1.1 over TLS, for either codec: who is there, and how that is found out. */

const MIN_VERSION = "TLSv1.2";

/** For our own codec. */
export class TlsDialer implements Dialer {
  readonly readyEvent = "secureConnect";
  readonly nodeWire: () => NodeWire;
  readonly #options: tls.ConnectionOptions;
  /** Of the last handshake: the next one is shorter. */
  #session: Buffer | undefined;

  constructor(options: UpstreamOptions, trust: TlsTrust | undefined) {
    const { host, port } = options;
    this.nodeWire = () => tlsWire(options, trust);
    const { ca, servername, ...judging } = identityOptions(host, trust);
    // Read once, not with every connection.
    const secureContext = tls.createSecureContext({ ca, minVersion: MIN_VERSION });
    this.#options = { host, port, ...judging, ...(servername === "" ? {} : { servername }), secureContext };
  }

  dial(receive: (bytes: Buffer) => void): Socket {
    const session = this.#session === undefined ? {} : { session: this.#session };
    const socket = tls.connect({ ...this.#options, ...session });
    socket.setNoDelay(true);
    socket.on("data", receive);
    socket.once("secureConnect", () => {
      socket.on("session", (latest) => {
        this.#session = latest;
      });
    });
    return socket;
  }
}

/** For Node's. */
export function tlsWire(options: UpstreamOptions, trust: TlsTrust | undefined): NodeWire {
  const identity = { ...identityOptions(options.host, trust), minVersion: MIN_VERSION } as const;
  return {
    // Kept connections are found again by these.
    agent: new https.Agent({ ...agentOptions(options), ...identity }),
    readyEvent: "secureConnect",
    request: (asked) => https.request({ ...asked, ...identity }),
    connect: () => {
      const { host, port } = options;
      const { servername, ...judging } = identity;
      const named = servername === "" ? {} : { servername };
      // Documented, and missing in the types.
      const halfOpen = { allowHalfOpen: true };
      return tls.connect({ host, port, ...judging, ...named, ...halfOpen }).setNoDelay(true);
    },
  };
}

interface IdentityOptions {
  readonly ca: string | undefined;
  readonly rejectUnauthorized: boolean;
  /** Empty for none. */
  readonly servername: string;
  readonly ALPNProtocols: string[];
  readonly checkServerIdentity: (host: string, certificate: tls.PeerCertificate) => Error | undefined;
}

function identityOptions(host: string, trust: TlsTrust | undefined): IdentityOptions {
  const name = trust?.serverName ?? host;
  return {
    ca: trust?.ca,
    // As daprd: an app on loopback seldom has a certificate that anybody vouches for (A4).
    rejectUnauthorized: trust !== undefined,
    // RFC 6066 3: an address is no server name.
    servername: isIP(name) === 0 ? name : "",
    ALPNProtocols: ["http/1.1"],
    checkServerIdentity: (_, certificate) => tls.checkServerIdentity(name, certificate),
  };
}
