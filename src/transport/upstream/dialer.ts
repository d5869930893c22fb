import net, { type Socket } from "node:net";
import type { ReadyEvent } from "../http1/client-connection.ts";
import { type NodeWire, plainWire } from "./node-upstream.ts";
import type { UpstreamOptions } from "./upstream.ts";

/** Opens the connections of our own codec. */
export interface Dialer {
  readonly readyEvent: ReadyEvent;
  /** @param receive given what arrives; the bytes are the dialer's again when it returns. */
  dial(receive: (bytes: Buffer) => void): Socket;
  /** The same way for Node's HTTP, which knows what our codec does not. */
  nodeWire(): NodeWire;
}

// Every connection's next bytes, for as long as it takes to act on them: a read that allocates costs more than the copy
// of what has to be kept.
const ARRIVING = Buffer.allocUnsafeSlow(64 * 1024);

/** Connections without TLS. */
export class PlainDialer implements Dialer {
  readonly readyEvent = "connect";
  readonly #options: UpstreamOptions;

  constructor(options: UpstreamOptions) {
    this.#options = options;
  }

  nodeWire(): NodeWire {
    return plainWire(this.#options);
  }

  dial(receive: (bytes: Buffer) => void): Socket {
    const onread = {
      buffer: ARRIVING,
      callback: (length: number): true => {
        receive(ARRIVING.subarray(0, length));
        return true;
      },
    };
    const { host, port } = this.#options;
    return net.connect({ host, port, noDelay: true, onread });
  }
}
