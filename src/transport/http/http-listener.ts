import http from "node:http";
import type { Duplex } from "node:stream";
import { messageOf } from "../../core/errors.ts";
import { InFlight } from "../../core/in-flight.ts";
import type { Logger } from "../../core/logger.ts";
import { listen } from "../listen.ts";

/**
 * Strict HTTP/1.1 servers: one parser and one set of refusals for the API port and the peer port. Node's parser
 * already refuses bare LF, obs-fold, a space before the colon, two lengths, and length with chunked; what it lets pass
 * and we do not is in `whyRefused`.
 */

export interface HttpListenerOptions {
  /** Shown in log lines: "API", "peer". */
  readonly name: string;
  /** `--read-buffer-size`, bytes. */
  readonly readBufferBytes: number;
  /** Put into refusals that are made here, so that a peer can tell them from an app's answer; a flat list. */
  readonly refusalHeaders?: readonly string[];
  readonly log: Logger;
  /** Answers the exchange. Where it rejects, the connection is cut. */
  handle(exchange: HttpExchange): Promise<void>;
}

/** One request and the means to answer it. */
export interface HttpExchange {
  readonly request: http.IncomingMessage;
  readonly response: http.ServerResponse;
  /** Fires when the client goes away before the answer is complete. */
  readonly signal: AbortSignal;
  /** Sends `100 Continue` where the client waits for it (RFC 9110 10.1.1). Called before the body is read. */
  inviteBody(): void;
  /** True once the listener is about to close: the answer must end its connection. */
  isClosing(): boolean;
}

// Go adds this to the limit it is told, and daprd's users have measured their headers against the sum (design.md).
const GO_HEADER_SLOP_BYTES = 4096;
// daprd's ReadHeaderTimeout (A1).
const HEADERS_TIMEOUT_MS = 10_000;
// How late that may be noticed.
const TIMEOUT_CHECK_MS = 1000;
// Go keeps idle connections for ever. Three minutes outlast any client's pool, so that the client is the first to close.
const IDLE_CONNECTION_MS = 180_000;

export class HttpListener {
  readonly #options: HttpListenerOptions;
  readonly #servers: http.Server[] = [];
  readonly #inFlight = new InFlight();
  #closing = false;

  constructor(options: HttpListenerOptions) {
    this.#options = options;
  }

  /**
   * Binds one more address and returns its port.
   *
   * @param port 0 for any free one.
   * @throws what listening throws, `EADDRINUSE` for one.
   */
  async listen(host: string, port: number): Promise<number> {
    const { name, log } = this.#options;
    const server = this.#createServer();
    const bound = await listen(server, host, port, (error) => {
      log.error("a listener has trouble", { listener: name, error: error.message });
    });
    this.#servers.push(server);
    return bound;
  }

  /** From now on each answer ends its connection, so that few are left when the listener closes. New ones are still taken. */
  announceClosing(): void {
    this.#closing = true;
  }

  /** Accepts no more connections; what is being answered goes on. */
  stopAccepting(): void {
    this.#closing = true;
    for (const server of this.#servers) server.close();
  }

  /** Resolves once no request is being answered. */
  async whenIdle(): Promise<void> {
    await this.#inFlight.whenIdle();
  }

  /** Cuts every connection. */
  destroy(): void {
    this.stopAccepting();
    for (const server of this.#servers) server.closeAllConnections();
  }

  #createServer(): http.Server {
    const server = http.createServer({
      maxHeaderSize: this.#options.readBufferBytes + GO_HEADER_SLOP_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      // Uploads may take as long as they take.
      requestTimeout: 0,
      keepAliveTimeout: IDLE_CONNECTION_MS,
      noDelay: true,
      insecureHTTPParser: false,
      // Asked for by `whyRefused`: Node would answer and go on to serve what is pipelined behind.
      requireHostHeader: false,
    });
    // Node drops headers beyond a count without a word; the limit in bytes is enough.
    server.maxHeadersCount = 0;
    // Each pipelined request listens for its connection's end.
    server.on("connection", (socket) => socket.setMaxListeners(0));
    server.on("request", (request, response) => {
      this.#accept(request, response, () => undefined);
    });
    server.on("checkContinue", (request, response) => {
      this.#accept(request, response, () => {
        response.writeContinue();
      });
    });
    server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
      this.#refuse(error, socket);
    });
    server.on("connect", (_request, socket) => {
      // From here on Node leaves the socket, and its errors, to us.
      socket.on("error", () => undefined);
      this.#cutWith(socket, "400 Bad Request", "CONNECT is not supported here");
    });
    return server;
  }

  #accept(request: http.IncomingMessage, response: http.ServerResponse, inviteBody: () => void): void {
    // Pipelined behind a request that was refused: already parsed, and not to be believed.
    if (!request.socket.writable) return;
    const reason = whyRefused(request);
    if (reason !== undefined) {
      this.#options.log.debug("refused a request", { listener: this.#options.name, reason });
      this.#cutWith(request.socket, "400 Bad Request", reason);
      return;
    }
    const signal = this.#watch(request, response);
    const exchange = { request, response, signal, inviteBody, isClosing: () => this.#closing };
    this.#options.handle(exchange).catch((error: unknown) => {
      this.#options.log.error("a request could not be answered", { error: messageOf(error) });
      request.socket.destroy();
    });
  }

  /** Counts the request as under way until its answer is complete or nobody waits for it, which the signal tells. */
  #watch(request: http.IncomingMessage, response: http.ServerResponse): AbortSignal {
    const gone = new AbortController();
    const ended = this.#inFlight.begin();
    const { socket } = request;
    const end = (): void => {
      socket.off("close", end);
      response.off("close", end);
      if (!response.writableFinished) gone.abort(new Error("the caller closed its connection"));
      ended();
    };
    response.on("close", end);
    // A pipelined answer whose turn has not come does not hear of its connection's end.
    socket.on("close", end);
    return gone.signal;
  }

  #refuse(error: NodeJS.ErrnoException, socket: Duplex): void {
    this.#options.log.debug("refused a request", { listener: this.#options.name, reason: error.message });
    if (error.code === "HPE_HEADER_OVERFLOW") {
      this.#cutWith(socket, "431 Request Header Fields Too Large", "the request's headers are over --read-buffer-size");
    } else if (error.code === "ERR_HTTP_REQUEST_TIMEOUT") {
      this.#cutWith(socket, "408 Request Timeout", "the request's headers did not arrive in time");
    } else {
      this.#cutWith(socket, "400 Bad Request", `the request is not valid HTTP/1.1: ${error.message}`);
    }
  }

  /** Answers below the level of a ServerResponse, and closes: after such a request nothing on the socket can be trusted. */
  #cutWith(socket: Duplex, statusLine: string, reason: string): void {
    if (!socket.writable || isOwedAnotherAnswer(socket)) {
      socket.destroy();
      return;
    }
    const body = `${reason}\n`;
    const headers = [
      ...["Content-Type", "text/plain; charset=utf-8", "Content-Length", `${Buffer.byteLength(body)}`],
      ...["Connection", "close", ...(this.#options.refusalHeaders ?? [])],
    ];
    let head = `HTTP/1.1 ${statusLine}\r\n`;
    for (let i = 0; i < headers.length; i += 2) head += `${headers[i] ?? ""}: ${headers[i + 1] ?? ""}\r\n`;
    socket.end(`${head}\r\n${body}`, () => {
      socket.destroy();
    });
  }
}

/** What Node's parser lets pass although two parsers could read it differently. */
function whyRefused(request: http.IncomingMessage): string | undefined {
  const { httpVersion, rawHeaders } = request;
  if (httpVersion !== "1.1" && httpVersion !== "1.0") return `HTTP/${httpVersion} is not spoken here`;
  const hosts = countOf(rawHeaders, "host");
  if (hosts > 1) return "the request has more than one Host header";
  if (hosts === 0 && httpVersion === "1.1") return "the request has no Host header";
  if (request.url?.includes("#") === true) return "the request target has a fragment";
  const coding = request.headers["transfer-encoding"];
  if (coding === undefined) return undefined;
  if (httpVersion === "1.0") return "HTTP/1.0 has no Transfer-Encoding";
  // RFC 9112 6.1 allows more codings; nobody sends them, and a peer that skips one reads another body.
  if (coding.trim().toLowerCase() !== "chunked") return `the transfer coding "${coding}" is not supported`;
  return undefined;
}

function countOf(rawHeaders: readonly string[], name: string): number {
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() === name) count++;
  }
  return count;
}

/**
 * True where the client would take what is written now for, or as part of, the answer to an earlier request: one whose
 * answer has begun, or one that arrived whole and is still being worked on.
 */
function isOwedAnotherAnswer(socket: Duplex): boolean {
  const answering = (socket as Duplex & { _httpMessage?: http.ServerResponse | null })._httpMessage;
  return answering != null && (answering.headersSent || answering.req.complete);
}
