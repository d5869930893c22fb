import http from "node:http";
import { Readable } from "node:stream";
import { CallError } from "../../core/errors.ts";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import type { RawHeaders } from "../../core/raw-headers.ts";
import { hostInUrl } from "../host-in-url.ts";

/**
 * The client half of the data path: one HTTP/1.1 origin, pooled connections, messages in and messages out. Node's own
 * client stands behind it (decision 8 says why not undici's); nothing else in Outrigger knows that.
 */

export interface UpstreamOptions {
  /** A host name or an address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** Connections open at once; further calls wait for one. Infinite means no limit. */
  readonly maxConnections: number;
  /** Bytes of response headers before the call fails. */
  readonly maxHeaderBytes: number;
}

/** The origin could not be reached, or broke off before its answer began. */
export class UpstreamError extends Error {
  override readonly name = "UpstreamError";
}

// Shorter than the 2 s after which gunicorn closes an idle connection without a word, so that we are the first to let go.
const IDLE_CONNECTION_MS = 1500;
const MAX_IDLE_CONNECTIONS = 256;
const CONNECT_TIMEOUT_MS = 5000;

export class HttpUpstream {
  /** `http://host:port`, for messages and Host. */
  readonly origin: string;
  readonly #options: UpstreamOptions;
  readonly #agent: http.Agent;

  constructor(options: UpstreamOptions) {
    this.#options = options;
    this.origin = `http://${hostInUrl(options.host)}:${options.port}`;
    this.#agent = new http.Agent({
      keepAlive: true,
      noDelay: true,
      maxSockets: options.maxConnections,
      maxFreeSockets: MAX_IDLE_CONNECTIONS,
      // Of an idle connection; how long an answer may take is a resiliency policy's business.
      timeout: IDLE_CONNECTION_MS,
      // The connection used last is the least likely to have been closed by the origin.
      scheduling: "lifo",
    });
  }

  /**
   * Sends the message and resolves with the head of the answer; the body follows with back-pressure.
   *
   * @throws {UpstreamError} where no answer began.
   * @throws the signal's reason where it fired first.
   */
  async send(request: RequestMessage): Promise<ResponseMessage> {
    const first = this.#open(request);
    try {
      return await answerTo(first, request);
    } catch (error) {
      if (!first.reusedSocket || !mayBeSentAgain(request, error)) throw this.#explain(request, error);
    }
    try {
      return await answerTo(this.#open(request), request);
    } catch (error) {
      throw this.#explain(request, error);
    }
  }

  /** Cuts every connection. May be called twice. */
  destroy(): void {
    this.#agent.destroy();
  }

  #open(request: RequestMessage): http.ClientRequest {
    const { host, port, maxHeaderBytes } = this.#options;
    const outgoing = http.request({
      host,
      port,
      agent: this.#agent,
      method: request.method,
      path: request.query === undefined ? request.path : `${request.path}?${request.query}`,
      headers: [...request.headers, "Host", `${hostInUrl(host)}:${port}`, ...framing(request)],
      maxHeaderSize: maxHeaderBytes,
    });
    // Node drops headers beyond a count without a word; the limit in bytes is enough.
    outgoing.maxHeadersCount = 0;
    return outgoing;
  }

  #explain(request: RequestMessage, error: unknown): unknown {
    // Not the origin's doing: the caller has gone, or the request's own body failed while it was sent.
    if (request.signal.aborted) return request.signal.reason;
    if (error instanceof CallError) return error;
    return new UpstreamError(`${this.origin}: ${reasonOf(error as NodeJS.ErrnoException)}`, { cause: error });
  }
}

/**
 * How long the body is, said outright: left to itself, Node frames a body by its verb, and sends the one of a GET without
 * any frame.
 */
function framing({ method, body, contentLength }: RequestMessage): RawHeaders {
  if (body instanceof Uint8Array) return ["Content-Length", `${body.byteLength}`];
  if (body === undefined) return METHODS_WITH_BODY.has(method) ? ["Content-Length", "0"] : [];
  return contentLength === undefined ? ["Transfer-Encoding", "chunked"] : ["Content-Length", `${contentLength}`];
}

const METHODS_WITH_BODY = new Set(["POST", "PUT", "PATCH"]);

function answerTo(outgoing: http.ClientRequest, { body, signal }: RequestMessage): Promise<ResponseMessage> {
  return new Promise((resolve, reject) => {
    let answer: http.IncomingMessage | undefined;
    const fail = (error: Error): void => {
      reject(error);
      // Also where the answer seems complete: one that ends with its connection has not ended if that was reset.
      answer?.destroy(error);
      outgoing.destroy();
    };
    const onAbort = (): void => {
      fail(signal.reason as Error);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    outgoing.on("error", fail);
    outgoing.once("close", () => {
      signal.removeEventListener("abort", onAbort);
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
      resolve({ status, statusText, headers, body: response });
    });
    limitConnecting(outgoing, fail);
    send(body, outgoing, fail);
  });
}

function send(body: RequestMessage["body"], outgoing: http.ClientRequest, fail: (error: Error) => void): void {
  if (!(body instanceof Readable)) {
    outgoing.end(body);
    return;
  }
  if (body.errored !== null) fail(body.errored);
  body.once("error", fail);
  body.pipe(outgoing);
  outgoing.once("close", () => {
    body.off("error", fail);
    body.unpipe(outgoing);
  });
}

function limitConnecting(outgoing: http.ClientRequest, fail: (error: Error) => void): void {
  outgoing.once("socket", (socket) => {
    if (!socket.connecting) return;
    const tooLong = setTimeout(() => {
      fail(Object.assign(new Error("timeout"), { code: "ETIMEDOUT" }));
    }, CONNECT_TIMEOUT_MS);
    const stop = (): void => {
      clearTimeout(tooLong);
    };
    socket.once("connect", stop);
    outgoing.once("close", stop);
  });
}

const IDEMPOTENT = new Set(["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"]);

/**
 * Where a kept connection breaks before a byte of the answer, its origin had most likely closed it as it was idle
 * (RFC 9112 9.3.1). What may be done twice, and whose body is still there, is sent again on a new one.
 */
function mayBeSentAgain({ method, body, signal }: RequestMessage, error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  const isReset = code === "ECONNRESET" || code === "EPIPE";
  return isReset && !signal.aborted && IDEMPOTENT.has(method) && !(body instanceof Readable);
}

/** The part of Node's error codes that operators meet, in words. */
const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection closed before the answer",
  EPIPE: "connection closed before the answer",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network unreachable",
  ENOTFOUND: "host not found",
  ETIMEDOUT: "connection timed out",
  HPE_HEADER_OVERFLOW: "the answer's headers are too large",
};

function reasonOf(error: NodeJS.ErrnoException): string {
  return REASONS[error.code ?? ""] ?? error.message;
}
