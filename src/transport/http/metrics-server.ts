import { Readable } from "node:stream";
import type { Logger } from "../../core/logger.ts";
import type { HttpExchange } from "./http-exchange.ts";
import { type HttpCodec, HttpListener } from "./http-listener.ts";

export interface MetricsServerParts {
  readonly codec: HttpCodec;
  readonly readBufferBytes: number;
  readonly log: Logger;
  /** Prometheus' text format, in pieces. */
  exposition(): Iterable<string>;
}

/** `--metrics-port`: the same answer to every request, whatever it asks for, as daprd gives it. */
export class MetricsServer {
  readonly listener: HttpListener;
  readonly #parts: MetricsServerParts;

  constructor(parts: MetricsServerParts) {
    this.#parts = parts;
    const { codec, readBufferBytes, log } = parts;
    this.listener = new HttpListener({
      name: "metrics",
      codec,
      readBufferBytes,
      log,
      handle: (exchange) => {
        this.#handle(exchange);
        return Promise.resolve();
      },
    });
  }

  #handle(exchange: HttpExchange): void {
    const headers = ["Content-Type", "text/plain; version=0.0.4; charset=utf-8"];
    // A piece is written when the one before it has gone out, and calls are served between them.
    const body = Readable.from(inBytes(this.#parts.exposition()), { objectMode: false });
    exchange.answer({ status: 200, statusText: "", headers, body });
  }
}

function* inBytes(pieces: Iterable<string>): Generator<Buffer> {
  for (const piece of pieces) yield Buffer.from(piece);
}
