import http from "node:http";
import net, { type Socket } from "node:net";
import { Readable } from "node:stream";
import { abortReason } from "../../core/call-signal.ts";
import type { RequestMessage, ResponseMessage, SwitchedAnswer } from "../../core/message.ts";
import { CONNECT_TIMEOUT_MS, MAX_INTERIM_ANSWERS, type ReadyEvent } from "../http1/client-connection.ts";
import { foreignAnswer, MalformedMessage } from "../http1/message-head.ts";
import type { MalformedAnswers } from "./malformed-answers.ts";
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
  type UpstreamOptions,
} from "./upstream.ts";

/** What Node's HTTP client needs to know of connections: with TLS or without. */
export interface NodeWire {
  readonly agent: http.Agent;
  readonly readyEvent: ReadyEvent;
  request(options: http.RequestOptions): http.ClientRequest;
  /**
   * A connection that no pool has, for one that may change its protocol: either side of what comes after HTTP may end
   * its half and go on listening.
   */
  connect(): Socket;
}

export function plainWire(options: UpstreamOptions): NodeWire {
  const { host, port } = options;
  return {
    agent: new http.Agent(agentOptions(options)),
    readyEvent: "connect",
    request: http.request,
    connect: () => net.connect({ host, port, noDelay: true, allowHalfOpen: true }),
  };
}

export function agentOptions({ maxConnections }: UpstreamOptions): http.AgentOptions {
  return {
    keepAlive: true,
    noDelay: true,
    maxSockets: maxConnections,
    maxFreeSockets: MAX_IDLE_CONNECTIONS,
    // Of an idle connection; how long an answer may take is a resiliency policy's business.
    timeout: IDLE_CONNECTION_MS,
    // The connection used last is the least likely to have been closed by the origin.
    scheduling: "lifo",
  };
}

/**
 * An origin behind Node's own HTTP client: what our own codec is compared with, and what `OUTRIGGER_HTTP_CODEC=node`
 * falls back to. A second answer that comes together with the first is cut off by Node without a word, and not counted.
 */
export class NodeUpstream implements Upstream {
  readonly origin: string;
  readonly #options: UpstreamOptions;
  readonly #wire: NodeWire;
  readonly #malformed: MalformedAnswers;
  /** Connections whose TLS handshake is over, which Node does not tell of afterwards. */
  readonly #shookHands = new WeakSet<Socket>();
  /** Idle connections, each with what listens for an answer to nothing. */
  readonly #idle = new WeakMap<Socket, () => void>();
  /** Connections that may change, or have changed, their protocol. */
  readonly #upgrading = new Set<Socket>();

  constructor(options: UpstreamOptions, malformed: MalformedAnswers, wire: NodeWire) {
    this.#options = options;
    this.#malformed = malformed;
    this.#wire = wire;
    this.origin = originOf(options);
    wire.agent.on("free", (socket: Socket) => {
      this.#watchIdle(socket);
    });
  }

  async send(request: RequestMessage): Promise<ResponseMessage> {
    // Once only: what the origin has begun to do with such a connection is not ours to know.
    if (request.upgrade !== undefined) return this.#upgrade(request, request.upgrade);
    const first = this.#open(request);
    try {
      return await this.#answerTo(first, request);
    } catch (error) {
      if (!first.reusedSocket || !mayBeSentAgain(request, error)) throw explainFailure(this.origin, request, error);
    }
    try {
      return await this.#answerTo(this.#open(request), request);
    } catch (error) {
      throw explainFailure(this.origin, request, error);
    }
  }

  get isConnected(): boolean {
    const { sockets, freeSockets } = this.#wire.agent;
    return this.#upgrading.size > 0 || [sockets, freeSockets].some((pool) => Object.keys(pool).length > 0);
  }

  destroy(): void {
    this.#wire.agent.destroy();
    for (const socket of this.#upgrading) socket.destroy();
  }

  #answerTo(outgoing: http.ClientRequest, request: RequestMessage): Promise<ResponseMessage> {
    const { connectTimeoutMs = CONNECT_TIMEOUT_MS } = this.#options;
    const connecting = { awaited: (socket: Socket) => this.#awaited(socket), timeoutMs: connectTimeoutMs };
    return answerTo(outgoing, request, this.#malformed, connecting);
  }

  /** What a connection has to emit before it can be written to; undefined where it can be. */
  #awaited(socket: Socket): ReadyEvent | undefined {
    if (this.#wire.readyEvent === "connect") return socket.connecting ? "connect" : undefined;
    return this.#shookHands.has(socket) ? undefined : "secureConnect";
  }

  async #upgrade(request: RequestMessage, protocols: string): Promise<ResponseMessage> {
    const outgoing = this.#begin(request, ["Connection", "Upgrade", "Upgrade", protocols], {
      // No agent's: whatever comes of it, it carries no other request.
      createConnection: () => this.#connectToUpgrade(),
    });
    try {
      return await this.#answerTo(outgoing, request);
    } catch (error) {
      throw explainFailure(this.origin, request, error);
    }
  }

  #connectToUpgrade(): Socket {
    const socket = this.#wire.connect();
    this.#upgrading.add(socket);
    socket.once("close", () => {
      this.#upgrading.delete(socket);
    });
    return socket;
  }

  /** Node throws away what an idle connection receives, and goes on to use it: the next request might get the rest. */
  #watchIdle(socket: Socket): void {
    const refuse = (): void => {
      this.#malformed.note("the origin sent an answer that nobody asked for");
      socket.destroy();
    };
    this.#idle.set(socket, refuse);
    socket.once("data", refuse);
  }

  #stopWatching(socket: Socket): void {
    const refuse = this.#idle.get(socket);
    if (refuse !== undefined) socket.off("data", refuse);
    this.#idle.delete(socket);
  }

  #open(request: RequestMessage): http.ClientRequest {
    const outgoing = this.#begin(request, KEPT, {
      // A body that can be sent only once goes out on a connection that cannot be stale.
      agent: request.body instanceof Readable ? false : this.#wire.agent,
    });
    outgoing.once("socket", (socket) => {
      this.#stopWatching(socket);
      if (this.#awaited(socket) === "secureConnect") socket.once("secureConnect", () => this.#shookHands.add(socket));
    });
    return outgoing;
  }

  /** @param connection what the request says of its connection. */
  #begin(request: RequestMessage, connection: readonly string[], over: http.RequestOptions): http.ClientRequest {
    const { host, port, maxHeaderBytes } = this.#options;
    const outgoing = this.#wire.request({
      host,
      port,
      method: request.method,
      path: requestTargetOf(request),
      headers: [...request.headers, "Host", hostHeaderOf(this.#options), ...framingOf(request), ...connection],
      maxHeaderSize: maxHeaderBytes,
      ...over,
    });
    // Node drops headers beyond a count without a word; the limit in bytes is enough.
    outgoing.maxHeadersCount = 0;
    return outgoing;
  }
}

// Else Node asks the origin to close a connection that is not its agent's.
const KEPT = ["Connection", "keep-alive"];

interface Connecting {
  /** What a connection has to emit before it can be written to; undefined where it can be. */
  readonly awaited: (socket: Socket) => ReadyEvent | undefined;
  /** How long that may take. */
  readonly timeoutMs: number;
}

function answerTo(
  outgoing: http.ClientRequest,
  { body, signal, upgrade }: RequestMessage,
  malformed: MalformedAnswers,
  connecting: Connecting,
): Promise<ResponseMessage> {
  return new Promise((resolve, reject) => {
    let answer: http.IncomingMessage | undefined;
    let failed = false;
    const fail = (raised: NodeJS.ErrnoException): void => {
      const error = foreignIn(raised) ?? raised;
      if (!failed && isMalformed(error)) malformed.note(error.message);
      failed = true;
      reject(error);
      // Also where the answer seems complete: one that ends with its connection has not ended if that was reset.
      answer?.destroy(error);
      outgoing.destroy();
    };
    const onAbort = (): void => {
      fail(abortReason(signal));
    };
    const listener = { handleEvent: onAbort };
    signal.addEventListener("abort", listener);
    if (signal.aborted) onAbort();
    outgoing.on("error", fail);
    let interimAnswers = 0;
    outgoing.on("information", () => {
      if (++interimAnswers > MAX_INTERIM_ANSWERS) {
        fail(new MalformedMessage("the origin sent nothing but interim answers"));
      }
    });
    let isOver = false;
    outgoing.once("upgrade", (response, socket, unread) => {
      const chosen = protocolChosen(response, upgrade);
      if (chosen === undefined) {
        socket.destroy();
        fail(new MalformedMessage("the origin switched to a protocol that nobody asked for"));
        return;
      }
      isOver = true;
      // Node leaves it to whoever takes the connection.
      socket.on("error", () => undefined);
      if (unread.length > 0) socket.unshift(unread);
      const { statusMessage: statusText = "", rawHeaders: headers } = response;
      const switched: SwitchedAnswer = { status: 101, statusText, headers, body: socket, upgrade: chosen };
      resolve(switched);
    });
    outgoing.once("close", () => {
      signal.removeEventListener("abort", listener);
      if (answer === undefined && !isOver) fail(Object.assign(new Error("no answer"), { code: "ECONNRESET" }));
    });
    outgoing.once("response", (response) => {
      answer = response;
      // It may break before anybody looks at it; whoever relays it asks `errored`.
      response.on("error", () => undefined);
      // An origin that has answered and not read the whole request will not read the rest.
      response.once("end", () => {
        if (!outgoing.writableFinished) outgoing.destroy();
      });
      const { statusCode: status = 0, statusMessage: statusText = "", rawHeaders: headers } = response;
      const reason = whyRefused(response);
      if (reason !== undefined) fail(new MalformedMessage(reason));
      resolve({ status, statusText, headers, body: response });
    });
    limitConnecting(outgoing, connecting, fail);
    send(body, outgoing, connecting.awaited, fail);
  });
}

/** The protocol that the answer switches to, where `asked` has it. */
function protocolChosen({ headers, httpVersion }: http.IncomingMessage, asked: string | undefined): string | undefined {
  if (httpVersion !== "1.1") return undefined;
  const chosen = headers.upgrade ?? "";
  const isAsked = asked?.split(", ").some((protocol) => protocol.toLowerCase() === chosen.toLowerCase());
  return isAsked === true ? chosen : undefined;
}

/** What Node's parser lets pass although two parsers could read it differently. */
function whyRefused({ httpVersion, statusCode = 0, headers }: http.IncomingMessage): string | undefined {
  if (httpVersion !== "1.1" && httpVersion !== "1.0") return `the answer is in HTTP/${httpVersion}`;
  if (statusCode < 200) return `the answer has the status ${statusCode}`;
  const coding = headers["transfer-encoding"];
  if (coding === undefined) return undefined;
  if (httpVersion === "1.0") return "HTTP/1.0 has no Transfer-Encoding";
  return coding.trim().toLowerCase() === "chunked" ? undefined : `the transfer coding "${coding}" is not supported`;
}

/** Node's parser keeps what it could not read. */
function foreignIn(error: NodeJS.ErrnoException & { reason?: string; rawPacket?: Buffer }): Error | undefined {
  const isNoStatusLine = error.code === "HPE_INVALID_CONSTANT" && error.reason?.startsWith("Expected HTTP/") === true;
  return isNoStatusLine && error.rawPacket !== undefined ? foreignAnswer(error.rawPacket) : undefined;
}

function isMalformed(error: NodeJS.ErrnoException): boolean {
  return error instanceof MalformedMessage || error.code?.startsWith("HPE_") === true;
}

function send(
  body: RequestMessage["body"],
  outgoing: http.ClientRequest,
  awaited: (socket: Socket) => ReadyEvent | undefined,
  fail: (error: Error) => void,
): void {
  if (!(body instanceof Readable)) {
    outgoing.end(body);
    return;
  }
  if (body.errored !== null) fail(body.errored);
  body.once("error", fail);
  // Not before there is a connection: a body of which nothing was read can go elsewhere.
  outgoing.once("socket", (socket) => {
    const event = awaited(socket);
    if (event !== undefined) socket.once(event, () => body.pipe(outgoing));
    else body.pipe(outgoing);
  });
  outgoing.once("close", () => {
    body.off("error", fail);
    body.unpipe(outgoing);
  });
}

function limitConnecting(
  outgoing: http.ClientRequest,
  { awaited, timeoutMs }: Connecting,
  fail: (error: Error) => void,
): void {
  outgoing.once("socket", (socket) => {
    const event = awaited(socket);
    if (event === undefined) return;
    const tooLong = setTimeout(() => {
      fail(Object.assign(new Error("timeout"), { code: "ETIMEDOUT", syscall: "connect" }));
    }, timeoutMs);
    const stop = (): void => {
      clearTimeout(tooLong);
    };
    socket.once(event, stop);
    outgoing.once("close", stop);
  });
}
