import { Readable } from "node:stream";
import { abortReason } from "../../core/call-signal.ts";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import { ClientConnection, type ClientConnectionOwner, type ClientExchange } from "../http1/client-connection.ts";
import { headerLine } from "../http1/message-writer.ts";
import type { Dialer } from "./dialer.ts";
import type { MalformedAnswers } from "./malformed-answers.ts";
import { NodeUpstream } from "./node-upstream.ts";
import {
  explainFailure,
  framingOf,
  hostHeaderOf,
  IDLE_CONNECTION_MS,
  MAX_IDLE_CONNECTIONS,
  mayBeSentAgain,
  originOf,
  requestTargetOf,
  type Upstream,
  UpstreamError,
  type UpstreamOptions,
} from "./upstream.ts";

/** An origin behind our own HTTP/1.1 codec (`http1/`). */
export class LeanUpstream implements Upstream, ClientConnectionOwner {
  readonly origin: string;
  readonly maxHeadBytes: number;
  readonly #options: UpstreamOptions;
  readonly #malformed: MalformedAnswers;
  readonly #dialer: Dialer;
  readonly #hostLine: string;
  readonly #connections = new Set<ClientConnection>();
  /** The connection used last is the least likely to have been closed by the origin: a stack. */
  readonly #idle: ClientConnection[] = [];
  /** In the order in which they asked. */
  readonly #waiting: Exchange[] = [];
  #sweep: NodeJS.Timeout | undefined;
  #destroyed = false;
  /** For what our own codec does not know: changes of protocol. */
  #node: NodeUpstream | undefined;

  constructor(options: UpstreamOptions, malformed: MalformedAnswers, dialer: Dialer) {
    this.#options = options;
    this.#malformed = malformed;
    this.#dialer = dialer;
    this.origin = originOf(options);
    this.maxHeadBytes = options.maxHeaderBytes;
    this.#hostLine = headerLine("Host", hostHeaderOf(options));
  }

  async send(request: RequestMessage): Promise<ResponseMessage> {
    if (request.upgrade !== undefined) return this.#sendWithNode(request);
    const head = this.#headOf(request);
    const first = new Exchange(request, head);
    try {
      // A body that can be sent only once goes out on a connection that cannot be stale.
      return await first.sentOver(this, { fresh: request.body instanceof Readable });
    } catch (error) {
      if (!first.metStaleConnection || !mayBeSentAgain(request, error))
        throw explainFailure(this.origin, request, error, first.nothingSent);
    }
    try {
      return await new Exchange(request, head).sentOver(this, { fresh: true });
    } catch (error) {
      throw explainFailure(this.origin, request, error);
    }
  }

  get isConnected(): boolean {
    return this.#connections.size > 0 || this.#node?.isConnected === true;
  }

  destroy(): void {
    this.#destroyed = true;
    clearInterval(this.#sweep);
    this.#node?.destroy();
    for (const exchange of this.#waiting.splice(0)) exchange.failed(new Error("the sidecar is ending"));
    for (const connection of this.#connections) connection.destroy();
  }

  #sendWithNode(request: RequestMessage): Promise<ResponseMessage> {
    if (this.#destroyed) throw new UpstreamError("other", `${this.origin}: the sidecar is ending`);
    this.#node ??= new NodeUpstream(this.#options, this.#malformed, this.#dialer.nodeWire());
    return this.#node.send(request);
  }

  /** Takes a connection, or a place in the queue for one. */
  dispatch(exchange: Exchange, options: { readonly fresh: boolean }): void {
    const { signal } = exchange.request;
    if (this.#destroyed || signal.aborted) {
      exchange.failed(this.#destroyed ? new Error("the sidecar is ending") : abortReason(signal));
      return;
    }
    if (options.fresh && this.#isFull()) this.#idle[0]?.destroy();
    const connection = (options.fresh ? undefined : this.#takeIdle()) ?? this.#connect();
    if (connection === undefined) {
      this.#waiting.push(exchange);
      exchange.wait(this);
    } else exchange.begin(connection);
  }

  leaveQueue(exchange: Exchange): void {
    const place = this.#waiting.indexOf(exchange);
    if (place !== -1) this.#waiting.splice(place, 1);
  }

  becameIdle(connection: ClientConnection): void {
    const next = this.#waiting.shift();
    if (next !== undefined) {
      next.begin(connection);
    } else if (this.#idle.length >= MAX_IDLE_CONNECTIONS) {
      connection.destroy();
    } else {
      connection.idleSince = performance.now();
      this.#idle.push(connection);
      this.#sweep ??= setInterval(() => {
        this.#closeUnused();
      }, IDLE_CONNECTION_MS / 4).unref();
    }
  }

  malformed(reason: string): void {
    this.#malformed.note(reason);
  }

  closed(connection: ClientConnection): void {
    this.#connections.delete(connection);
    const place = this.#idle.indexOf(connection);
    if (place !== -1) this.#idle.splice(place, 1);
    // Its place is free for who waits.
    if (this.#destroyed || this.#waiting.length === 0) return;
    const replacement = this.#connect();
    if (replacement !== undefined) this.#waiting.shift()?.begin(replacement);
  }

  #takeIdle(): ClientConnection | undefined {
    const newest = this.#idle.pop();
    // The newest is too old: so are all.
    if (newest !== undefined && performance.now() - newest.idleSince > IDLE_CONNECTION_MS) {
      newest.destroy();
      this.#closeUnused();
      return undefined;
    }
    return newest;
  }

  #connect(): ClientConnection | undefined {
    if (this.#isFull()) return undefined;
    const socket = this.#dialer.dial((bytes) => {
      connection.receive(bytes);
    });
    const connection: ClientConnection = new ClientConnection(
      socket,
      this,
      this.#dialer.readyEvent,
      this.#options.connectTimeoutMs,
    );
    this.#connections.add(connection);
    return connection;
  }

  #isFull(): boolean {
    return this.#connections.size >= this.#options.maxConnections;
  }

  #closeUnused(): void {
    const now = performance.now();
    const kept = this.#idle.findIndex((connection) => now - connection.idleSince <= IDLE_CONNECTION_MS);
    const unused = this.#idle.splice(0, kept === -1 ? this.#idle.length : kept);
    for (const connection of unused) connection.destroy();
    if (this.#idle.length === 0) {
      clearInterval(this.#sweep);
      this.#sweep = undefined;
    }
  }

  #headOf(request: RequestMessage): string {
    const { method, headers } = request;
    let head = `${method} ${requestTargetOf(request)} HTTP/1.1\r\n${this.#hostLine}`;
    for (let i = 0; i < headers.length; i += 2) head += headerLine(headers[i] ?? "", headers[i + 1] ?? "");
    const [framing, length] = framingOf(request);
    return framing === undefined ? `${head}\r\n` : `${head}${framing}: ${length ?? ""}\r\n\r\n`;
  }
}

/** One try of one request. */
class Exchange implements ClientExchange {
  readonly request: RequestMessage;
  readonly head: string;
  #connection: ClientConnection | undefined;
  #queue: LeanUpstream | undefined;
  #resolve!: (response: ResponseMessage) => void;
  #reject!: (error: Error) => void;
  /** The connection had been kept from an earlier exchange and broke before a byte of this one's answer. */
  metStaleConnection = false;

  /** Of one that failed: it never had a connection that could be written to. */
  get nothingSent(): boolean {
    return this.#connection?.wasReady !== true;
  }

  constructor(request: RequestMessage, head: string) {
    this.request = request;
    this.head = head;
  }

  sentOver(upstream: LeanUpstream, options: { readonly fresh: boolean }): Promise<ResponseMessage> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      upstream.dispatch(this, options);
    });
  }

  /** The caller may leave while it waits. */
  wait(queue: LeanUpstream): void {
    this.#queue = queue;
    this.request.signal.addEventListener("abort", this);
  }

  handleEvent(): void {
    this.#queue?.leaveQueue(this);
    this.#reject(abortReason(this.request.signal));
  }

  begin(connection: ClientConnection): void {
    if (this.#queue !== undefined) this.request.signal.removeEventListener("abort", this);
    this.#connection = connection;
    connection.send(this);
  }

  answered(response: ResponseMessage): void {
    this.#resolve(response);
  }

  failed(error: Error): void {
    this.metStaleConnection = this.#connection?.isReused === true && this.#connection.isUntouched;
    this.#reject(error);
  }
}
