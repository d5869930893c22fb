import { constants } from "node:crypto";
import { isIP } from "node:net";
import tls from "node:tls";
import type { TlsTrust } from "./upstream.ts";

/** Who has to be at the other end of TLS, and what is spoken there. */
export interface TlsOptions {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly rejectUnauthorized: boolean;
  /** Empty for none. */
  readonly servername: string;
  readonly minVersion: tls.SecureVersion;
  readonly secureOptions: number | undefined;
  readonly ALPNProtocols: string[];
  readonly checkServerIdentity: (host: string, certificate: tls.PeerCertificate) => Error | undefined;
}

/** @param protocol as ALPN names it. */
export function tlsOptions(host: string, trust: TlsTrust | undefined, protocol: "http/1.1" | "h2"): TlsOptions {
  const name = trust?.serverName ?? host;
  return {
    ca: trust?.ca,
    cert: trust?.own?.certificate,
    key: trust?.own?.privateKey,
    // As daprd: an app on loopback seldom has a certificate that anybody vouches for (A4).
    rejectUnauthorized: trust !== undefined,
    // RFC 6066 3: an address is no server name.
    servername: isIP(name) === 0 ? name : "",
    minVersion: "TLSv1.2",
    // Node's own `disableRenegotiation` is for servers alone.
    secureOptions: trust?.renegotiation === "never" ? constants.SSL_OP_NO_RENEGOTIATION : undefined,
    ALPNProtocols: [protocol],
    checkServerIdentity: (_, certificate) => tls.checkServerIdentity(name, certificate),
  };
}

/** As `tls.connect` takes them, which takes an empty name for one. */
export function connectOptions({ servername, ...options }: TlsOptions): tls.ConnectionOptions {
  return servername === "" ? options : { ...options, servername };
}

/** Cuts the connection at the second new handshake, for an origin that may ask for one. Called before the first handshake. */
export function allowOneRenegotiation(socket: tls.TLSSocket): void {
  let handshakes = 0;
  socket.on("secure", () => {
    handshakes++;
    if (handshakes > 2) socket.destroy(new RenegotiatedAgain());
  });
}

class RenegotiatedAgain extends Error {
  override readonly name = "RenegotiatedAgain";

  constructor() {
    super("the server asked for a second new TLS handshake, and clientTLS.renegotiation allows one");
  }
}
