import net, { type Socket } from "node:net";
import type { ReadyEvent } from "../http1/client-connection.ts";

/** Opens the connections of our own codec. */
export interface Dialer {
  readonly readyEvent: ReadyEvent;
  /** @param receive given what arrives; the bytes are the dialer's again when it returns. */
  dial(receive: (bytes: Buffer) => void): Socket;
}

// Every connection's next bytes, for as long as it takes to act on them: a read that allocates costs more than the copy
// of what has to be kept.
const ARRIVING = Buffer.allocUnsafeSlow(64 * 1024);

/** Connections without TLS. */
export class PlainDialer implements Dialer {
  readonly readyEvent = "connect";
  readonly #host: string;
  readonly #port: number;

  constructor({ host, port }: { readonly host: string; readonly port: number }) {
    this.#host = host;
    this.#port = port;
  }

  dial(receive: (bytes: Buffer) => void): Socket {
    const onread = {
      buffer: ARRIVING,
      callback: (length: number): true => {
        receive(ARRIVING.subarray(0, length));
        return true;
      },
    };
    return net.connect({ host: this.#host, port: this.#port, noDelay: true, onread });
  }
}
