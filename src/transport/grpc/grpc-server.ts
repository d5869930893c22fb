import http2 from "node:http2";
import { listen } from "../listen.ts";
import { listenOnSocket } from "../unix-socket.ts";

// google.rpc.Code
const UNIMPLEMENTED = "12";

/**
 * The gRPC API port. It does not speak Dapr's gRPC API yet: it holds the port that apps are told, and answers every
 * call with a status that says so, which a client can read, where a refused connection would tell it nothing.
 */
export class GrpcServer {
  readonly #servers: http2.Http2Server[] = [];
  readonly #onError: (error: Error) => void;
  readonly #sessions = new Set<http2.ServerHttp2Session>();

  /** @param onError told of errors that come once a port is bound. */
  constructor(onError: (error: Error) => void) {
    this.#onError = onError;
  }

  /** Binds one more address and returns its port; 0 means any free one. @throws what listening throws. */
  async listen(host: string, port: number): Promise<number> {
    const server = this.#createServer();
    const bound = await listen(server, host, port, this.#onError);
    this.#servers.push(server);
    return bound;
  }

  /** Binds a Unix socket. @throws {Error} as `listenOnSocket` does. */
  async listenOnSocket(path: string): Promise<void> {
    const server = this.#createServer();
    await listenOnSocket(server, path, this.#onError);
    this.#servers.push(server);
  }

  destroy(): void {
    for (const server of this.#servers) server.close();
    for (const session of this.#sessions) session.destroy();
  }

  #createServer(): http2.Http2Server {
    const server = http2.createServer();
    server.on("session", (session) => {
      this.#sessions.add(session);
      session.once("close", () => this.#sessions.delete(session));
      session.on("error", () => {
        session.destroy();
      });
    });
    server.on("stream", answerUnimplemented);
    return server;
  }
}

function answerUnimplemented(stream: http2.ServerHttp2Stream): void {
  stream.on("error", () => {
    stream.destroy();
  });
  stream.respond(
    {
      ":status": 200,
      "content-type": "application/grpc",
      "grpc-status": UNIMPLEMENTED,
      "grpc-message": "this version of Outrigger has no gRPC API; use the HTTP API",
    },
    { endStream: true },
  );
}
