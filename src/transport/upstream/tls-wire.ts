import https from "node:https";
import type { Socket } from "node:net";
import tls from "node:tls";
import type { Dialer } from "./dialer.ts";
import { agentOptions, type NodeWire } from "./node-upstream.ts";
import { allowOneRenegotiation, connectOptions, tlsOptions } from "./tls-options.ts";
import type { TlsTrust, UpstreamOptions } from "./upstream.ts";

/** HTTP/1.1 over TLS, for either codec: who is there, and how that is found out. */

/** For our own codec. */
export class TlsDialer implements Dialer {
  readonly readyEvent = "secureConnect";
  readonly nodeWire: () => NodeWire;
  readonly #options: tls.ConnectionOptions;
  /** One renegotiation on a connection. */
  readonly #allowsOne: boolean;
  /** Of the last handshake: the next one is shorter. */
  #session: Buffer | undefined;

  constructor(options: UpstreamOptions, trust: TlsTrust | undefined) {
    const { host, port } = options;
    this.nodeWire = () => tlsWire(options, trust);
    const { ca, cert, key, minVersion, secureOptions, ...judging } = connectOptions(
      tlsOptions(host, trust, "http/1.1"),
    );
    // Read once, not with every connection.
    const secureContext = tls.createSecureContext({ ca, cert, key, minVersion, secureOptions });
    this.#allowsOne = trust?.renegotiation === "once";
    this.#options = { host, port, ...judging, secureContext };
  }

  dial(receive: (bytes: Buffer) => void): Socket {
    const session = this.#session === undefined ? {} : { session: this.#session };
    const socket = tls.connect({ ...this.#options, ...session });
    socket.setNoDelay(true);
    if (this.#allowsOne) allowOneRenegotiation(socket);
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
  const identity = tlsOptions(options.host, trust, "http/1.1");
  const allowsOne = trust?.renegotiation === "once";
  const limited = new WeakSet<Socket>();
  const limit = (socket: Socket): void => {
    if (limited.has(socket) || !(socket instanceof tls.TLSSocket)) return;
    limited.add(socket);
    allowOneRenegotiation(socket);
  };
  return {
    // Kept connections are found again by these.
    agent: new https.Agent({ ...agentOptions(options), ...identity }),
    readyEvent: "secureConnect",
    request: (asked) => {
      const outgoing = https.request({ ...asked, ...identity });
      if (allowsOne) outgoing.once("socket", limit);
      return outgoing;
    },
    connect: () => {
      const { host, port } = options;
      // Documented, and missing in the types.
      const halfOpen = { allowHalfOpen: true };
      return tls.connect({ host, port, ...connectOptions(identity), ...halfOpen }).setNoDelay(true);
    },
  };
}
