import http from "node:http";
import net, { type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { messageOf } from "../../core/errors.ts";
import { InFlight } from "../../core/in-flight.ts";
import type { Logger } from "../../core/logger.ts";
import { headerLine } from "../http1/message-writer.ts";
import { type ConnectionOwner, type RefusalStatus, ServerConnection } from "../http1/server-connection.ts";
import { reasonPhrase } from "../http1/status-line.ts";
import { listen } from "../listen.ts";
import { listenOnSocket } from "../unix-socket.ts";
import { h2cRequestFrom, withFirstRequest } from "./h2c-upgrade.ts";
import type { HttpExchange } from "./http-exchange.ts";
import { type Beginning, isHttp2Preface, peekAtPreface, readBeginning } from "./http2-preface.ts";
import { NodeExchange, type NodeExchangeOwner, upgradeExchange } from "./node-exchange.ts";
import { upgradeAskedBy, withoutUpgrade } from "./node-upgrade.ts";

/**
 * Strict HTTP/1.1 servers: one set of refusals for the API port and the peer port. Connections begin with our own codec
 * (`http1/`), which hands the uncommon ones to Node's parser. That already refuses bare LF, obs-fold, a space before
 * the colon, two lengths, and length with chunked; what it lets pass and we do not is in `whyRefused`.
 *
 * Connections that begin with HTTP/2's preface go to whom the listener was given for them.
 */

/** Which code reads and writes HTTP/1.1: our own, which is lean, or Node's, with which it is compared. */
export type HttpCodec = "lean" | "node";

export interface HttpListenerOptions {
  /** Shown in log lines: "API", "peer". */
  readonly name: string;
  readonly codec: HttpCodec;
  /** `--read-buffer-size`, bytes. */
  readonly readBufferBytes: number;
  /** Put into refusals that are made here, so that a peer can tell them from an app's answer; a flat list. */
  readonly refusalHeaders?: readonly string[];
  readonly log: Logger;
  /** Answers the exchange. Where it rejects, the connection is cut. */
  handle(exchange: HttpExchange): Promise<void>;
  /** Called with the first connection that begins with HTTP/2's preface; without it, such connections are refused. */
  readonly http2?: (owner: HttpConnectionsOwner) => Promise<Http2Connections>;
}

/** Reads and writes HTTP/2 connections. */
export interface Http2Connections {
  /** @param socket paused, with the preface unread. */
  accept(socket: Socket): void;
  /** Ends each connection after the last of the streams that it has now. */
  stopAccepting(): void;
}

/** What a listener lends to whoever reads connections for it. */
export interface HttpConnectionsOwner extends NodeExchangeOwner {
  /** Bytes of a request's head. */
  readonly maxHeadBytes: number;
  /** A request has arrived. Answers it through the exchange, which tells by `ended` when it is over. */
  begin(exchange: HttpExchange): void;
  /** A request was not served. */
  noteRefusal(reason: string): void;
}

// Go adds this to the limit it is told, and daprd's users have measured their headers against the sum (design.md).
const GO_HEADER_SLOP_BYTES = 4096;
// daprd's ReadHeaderTimeout (A1).
export const HEADERS_TIMEOUT_S = 10;
// How late that may be noticed.
const TIMEOUT_CHECK_MS = 1000;
// Go keeps idle connections for ever. Three minutes outlast any client's pool, so that the client is the first to close.
export const IDLE_CONNECTION_S = 180;

/** With what Node 20 does not know, and passes over: which requests are to raise `upgrade`; the others are ordinary ones. */
interface NodeServerOptions extends http.ServerOptions {
  shouldUpgradeCallback(request: http.IncomingMessage): boolean;
}

export class HttpListener implements ConnectionOwner, HttpConnectionsOwner {
  readonly maxHeadBytes: number;
  readonly #options: HttpListenerOptions;
  readonly #listeners: net.Server[] = [];
  /** Never listens itself: it is given connections. */
  readonly #node: http.Server;
  /** Begins with the first connection that needs it. */
  #http2: Promise<Http2Connections> | undefined;
  #http2Connections: Http2Connections | undefined;
  readonly #sockets = new Set<Socket>();
  readonly #lean = new Set<ServerConnection>();
  readonly #inFlight = new InFlight();
  #clock: NodeJS.Timeout | undefined;
  #seconds = 0;
  #closing = false;
  #refused = 0;

  constructor(options: HttpListenerOptions) {
    this.#options = options;
    this.maxHeadBytes = options.readBufferBytes + GO_HEADER_SLOP_BYTES;
    this.#node = this.#createNodeServer();
  }

  /** Requests that were not served because they were malformed, too large in their headers, or too slow. */
  get refused(): number {
    return this.#refused;
  }

  /**
   * Binds one more address and returns its port.
   *
   * @param port 0 for any free one.
   * @throws what listening throws, `EADDRINUSE` for one.
   */
  async listen(host: string, port: number): Promise<number> {
    const server = this.#createServer();
    const bound = await listen(server, host, port, this.#onTrouble);
    this.#opened(server);
    return bound;
  }

  /** Binds a Unix socket. @throws {Error} as `listenOnSocket` does. */
  async listenOnSocket(path: string): Promise<void> {
    const server = this.#createServer();
    await listenOnSocket(server, path, this.#onTrouble);
    this.#opened(server);
  }

  get hasConnections(): boolean {
    return this.#sockets.size > 0;
  }

  /** From now on each answer ends its connection, so that few are left when the listener closes. New ones are still taken. */
  announceClosing(): void {
    this.#closing = true;
  }

  /** Accepts no more connections; what is being answered goes on. */
  stopAccepting(): void {
    this.#closing = true;
    for (const server of this.#listeners) server.close();
    for (const connection of this.#lean) {
      if (connection.isIdle) connection.destroy();
    }
    this.#node.closeIdleConnections();
    this.#http2Connections?.stopAccepting();
  }

  /** Resolves once no request is being answered. */
  async whenIdle(): Promise<void> {
    await this.#inFlight.whenIdle();
  }

  /** Cuts every connection. */
  destroy(): void {
    this.stopAccepting();
    clearInterval(this.#clock);
    for (const socket of this.#sockets) socket.destroy();
    // It has nothing to close but its own timer.
    this.#node.close();
  }

  #createServer(): net.Server {
    return net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      this.#accept(socket);
    });
  }

  readonly #onTrouble = (error: Error): void => {
    const { name, log } = this.#options;
    log.error("a listener has trouble", { listener: name, error: error.message });
  };

  #opened(server: net.Server): void {
    this.#listeners.push(server);
    this.#clock ??= setInterval(() => {
      this.#tick();
    }, TIMEOUT_CHECK_MS).unref();
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => {
      this.#sockets.delete(socket);
    });
    if (this.#options.codec === "lean") this.#lean.add(new ServerConnection(socket, this));
    else if (this.#options.http2 === undefined) this.#node.emit("connection", socket);
    else this.#peek(socket);
  }

  /** Node's HTTP/1 server can tell nobody of a preface that it meets. */
  #peek(socket: Socket): void {
    socket.on("error", ignore);
    peekAtPreface(socket, HEADERS_TIMEOUT_S * 1000, (beginning: Beginning) => {
      socket.off("error", ignore);
      if (beginning === "http/2") void this.#handToHttp2(socket);
      else if (beginning === "late") this.#cutWith(socket, 408, "the request's headers did not arrive in time");
      else if (beginning === "ended") socket.destroy();
      else {
        this.#node.emit("connection", socket);
        socket.resume();
      }
    });
  }

  async #handToHttp2(socket: Socket): Promise<void> {
    socket.on("error", ignore);
    // What arrives meanwhile must not be lost.
    socket.pause();
    try {
      this.#http2 ??= this.#options.http2?.(this);
      this.#http2Connections = await this.#http2;
      if (!socket.destroyed) this.#http2Connections?.accept(socket);
    } catch (error) {
      this.#options.log.error("HTTP/2 cannot be spoken", { listener: this.#options.name, error: messageOf(error) });
      socket.destroy();
    }
  }

  #tick(): void {
    this.#seconds++;
    for (const connection of this.#lean) connection.checkTimeouts(HEADERS_TIMEOUT_S, IDLE_CONNECTION_S);
  }

  // What connections and exchanges ask of it.

  get isClosing(): boolean {
    return this.#closing;
  }

  get seconds(): number {
    return this.#seconds;
  }

  begin(exchange: HttpExchange): void {
    this.#inFlight.enter();
    this.#options.handle(exchange).catch((error: unknown) => {
      this.#options.log.error("a request could not be answered", { error: messageOf(error) });
      exchange.cut();
    });
  }

  ended(): void {
    this.#inFlight.leave();
  }

  handOver(socket: Socket, unread: Buffer): void {
    // The preface is one only where nothing came before it; what it lacks at its end is HTTP/2's to judge.
    const isFirst = socket.bytesRead === unread.length;
    socket.unshift(unread);
    if (this.#options.http2 !== undefined && isFirst && isHttp2Preface(unread) !== false) {
      void this.#handToHttp2(socket);
    } else this.#node.emit("connection", socket);
  }

  closed(connection: ServerConnection): void {
    this.#lean.delete(connection);
  }

  #createNodeServer(): http.Server {
    const options: NodeServerOptions = {
      maxHeaderSize: this.maxHeadBytes,
      headersTimeout: HEADERS_TIMEOUT_S * 1000,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      // Uploads may take as long as they take.
      requestTimeout: 0,
      keepAliveTimeout: IDLE_CONNECTION_S * 1000,
      insecureHTTPParser: false,
      // Asked for by `whyRefused`: Node would answer and go on to serve what is pipelined behind.
      requireHostHeader: false,
      // Newer versions go on reading the body of an upgrade from its socket, where the handler would read, too.
      shouldUpgradeCallback: (request) => upgradeAskedBy(request) !== undefined,
    };
    const server = http.createServer(options);
    // Node drops headers beyond a count without a word; the limit in bytes is enough.
    server.maxHeadersCount = 0;
    // A client that has sent all may close its half; without this Node would answer it no more.
    Object.assign(server, { httpAllowHalfOpen: true });
    // Each pipelined request listens for its connection's end.
    server.on("connection", (socket: Socket) => socket.setMaxListeners(0));
    server.on("request", (request, response) => {
      this.#beginWithNode(request, response, false);
    });
    server.on("checkContinue", (request, response) => {
      this.#beginWithNode(request, response, true);
    });
    server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
      this.#refuseWithNode(error, socket);
    });
    server.on("upgrade", (request, _socket, unread) => {
      this.#upgradeWithNode(request, unread);
    });
    server.on("connect", (_request, socket) => {
      // From here on Node leaves the socket, and its errors, to us.
      socket.on("error", () => undefined);
      this.#cutWith(socket, 400, "CONNECT is not supported here");
    });
    // Starts Node's watch over slow requests and idle connections, as if it listened.
    server.emit("listening");
    return server;
  }

  #beginWithNode(request: http.IncomingMessage, response: http.ServerResponse, expectsContinue: boolean): void {
    // Pipelined behind a request that was refused: already parsed, and not to be believed.
    if (!request.socket.writable) return;
    const reason = whyRefused(request);
    if (reason !== undefined) {
      this.#cutWith(request.socket, 400, reason);
      return;
    }
    this.begin(new NodeExchange(request, response, expectsContinue, this));
  }

  /** Node reads no more of the connection, and leaves its errors to us. */
  #upgradeWithNode(request: http.IncomingMessage, unread: Buffer): void {
    const { socket } = request;
    const earlier = answerOn(socket);
    if (earlier != null) {
      this.#upgradeBehind(earlier, request, unread);
      return;
    }
    // The earlier answer was the last of its connection, or broke.
    if (!socket.writable) return;
    socket.on("error", ignore);
    const reason = whyRefused(request);
    const asked = upgradeAskedBy(request);
    if (reason !== undefined) this.#cutWith(socket, 400, reason);
    // Neither could it be put back, nor anybody be told that no more will come.
    else if (socket.readableEnded)
      this.#cutWith(socket, 400, "the connection has ended behind a request to upgrade it");
    else if (asked?.to === "others") this.begin(upgradeExchange(request, asked.protocols, unread, this));
    else if (asked === undefined || !this.#upgradedToHttp2(request, unread)) {
      socket.off("error", ignore);
      socket.unshift(Buffer.concat([withoutUpgrade(request), unread]));
      this.#node.emit("connection", socket);
    }
  }

  /** Pipelined behind a request that is still being answered, which Node tells no more that its socket takes more. */
  #upgradeBehind(earlier: http.ServerResponse, request: http.IncomingMessage, unread: Buffer): void {
    const { socket } = request;
    const drained = (): void => {
      earlier.emit("drain");
    };
    socket.on("error", ignore).on("drain", drained);
    earlier.once("close", () => {
      socket.off("error", ignore).off("drain", drained);
      this.#upgradeWithNode(request, unread);
    });
  }

  /** False where the client is not to have its upgrade. */
  #upgradedToHttp2(request: http.IncomingMessage, unread: Buffer): boolean {
    const first = this.#options.http2 === undefined || this.#closing ? undefined : h2cRequestFrom(request);
    if (first === undefined) return false;
    const { socket } = request;
    if (unread.length > 0) socket.unshift(unread);
    socket.write(`HTTP/1.1 101 ${reasonPhrase(101, "")}\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n`);
    const isEnough = (begun: Buffer): boolean => withFirstRequest(first, begun) !== undefined;
    readBeginning(socket, HEADERS_TIMEOUT_S * 1000, isEnough, (begun) => {
      const shown = typeof begun === "string" ? undefined : withFirstRequest(first, begun);
      if (shown === undefined) {
        socket.destroy();
        return;
      }
      socket.unshift(shown);
      void this.#handToHttp2(socket);
    });
    return true;
  }

  #refuseWithNode(error: NodeJS.ErrnoException, socket: Duplex): void {
    if (error.code === "HPE_HEADER_OVERFLOW") {
      this.#cutWith(socket, 431, "the request's headers are over --read-buffer-size");
    } else if (error.code === "ERR_HTTP_REQUEST_TIMEOUT") {
      this.#cutWith(socket, 408, "the request's headers did not arrive in time");
    } else {
      this.#cutWith(socket, 400, `the request is not valid HTTP/1.1: ${error.message}`);
    }
  }

  /** Answers below the level of a ServerResponse, and closes: after such a request nothing on the socket can be trusted. */
  #cutWith(socket: Duplex, status: RefusalStatus, reason: string): void {
    const text = this.refusal(status, reason);
    if (!socket.writable || isOwedAnotherAnswer(socket)) {
      socket.destroy();
      return;
    }
    socket.end(text, "latin1", () => {
      socket.destroy();
    });
  }

  noteRefusal(reason: string): void {
    this.#refused++;
    this.#options.log.debug("refused a request", { listener: this.#options.name, reason });
  }

  refusal(status: RefusalStatus, reason: string): string {
    this.noteRefusal(reason);
    const body = `${reason.replaceAll(/[^\x20-\x7e]/g, "?")}\n`;
    const headers = ["Content-Type", "text/plain; charset=utf-8", "Content-Length", `${body.length}`];
    headers.push("Connection", "close", ...(this.#options.refusalHeaders ?? []));
    let head = `HTTP/1.1 ${status} ${reasonPhrase(status, "")}\r\n`;
    for (let i = 0; i < headers.length; i += 2) head += headerLine(headers[i] ?? "", headers[i + 1] ?? "");
    return `${head}\r\n${body}`;
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
  const answering = answerOn(socket);
  return answering != null && (answering.headersSent || answering.req.complete);
}

/** The answer to the request that is being answered, if any is. */
function answerOn(socket: Duplex): http.ServerResponse | null | undefined {
  return (socket as Duplex & { _httpMessage?: http.ServerResponse | null })._httpMessage;
}

function ignore(): void {
  // Intentionally nothing.
}
