import type { HttpExchange } from "../http/http-exchange.ts";
import { type HttpCodec, HttpListener } from "../http/http-listener.ts";
import { speakGrpc } from "../http/speak-http2.ts";
import type { GrpcApi, GrpcApiParts } from "./grpc-api.ts";

export interface GrpcServerParts extends GrpcApiParts {
  readonly codec: HttpCodec;
  /** `--read-buffer-size`. */
  readonly readBufferBytes: number;
}

/** The gRPC port. What answers there is loaded with the first call: an app that speaks HTTP has no use for it. */
export class GrpcServer {
  readonly listener: HttpListener;
  readonly #parts: GrpcServerParts;
  #api: Promise<GrpcApi> | undefined;

  constructor(parts: GrpcServerParts) {
    this.#parts = parts;
    this.listener = new HttpListener({
      name: "gRPC API",
      codec: parts.codec,
      readBufferBytes: parts.readBufferBytes,
      log: parts.log,
      handle: (exchange) => this.#handle(exchange),
      http2: speakGrpc,
    });
  }

  async #handle(exchange: HttpExchange): Promise<void> {
    this.#api ??= import("./grpc-api.ts").then(({ GrpcApi }) => new GrpcApi(this.#parts));
    const api = await this.#api;
    await api.handle(exchange);
  }
}
