import http from "node:http";
import { Readable } from "node:stream";
import { abortReason } from "../../core/call-signal.ts";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import {
  authorityOf,
  CONNECT_TIMEOUT_MS,
  explainFailure,
  framingOf,
  IDLE_CONNECTION_MS,
  MAX_IDLE_CONNECTIONS,
  mayBeSentAgain,
  originOf,
  type Upstream,
  type UpstreamOptions,
} from "./upstream.ts";

/** An origin behind Node's own HTTP client: what our own codec is compared with, and what `OUTRIGGER_HTTP_CODEC=node` falls back to. */
export class NodeUpstream implements Upstream {
  readonly origin: string;
  readonly #options: UpstreamOptions;
  readonly #agent: http.Agent;

  constructor(options: UpstreamOptions) {
    this.#options = options;
    this.origin = originOf(options);
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

  async send(request: RequestMessage): Promise<ResponseMessage> {
    const first = this.#open(request);
    try {
      return await answerTo(first, request);
    } catch (error) {
      if (!first.reusedSocket || !mayBeSentAgain(request, error)) throw explainFailure(this.origin, request, error);
    }
    try {
      return await answerTo(this.#open(request), request);
    } catch (error) {
      throw explainFailure(this.origin, request, error);
    }
  }

  destroy(): void {
    this.#agent.destroy();
  }

  #open(request: RequestMessage): http.ClientRequest {
    const { host, port, maxHeaderBytes } = this.#options;
    const outgoing = http.request({
      host,
      port,
      // A body that can be sent only once goes out on a connection that cannot be stale.
      agent: request.body instanceof Readable ? false : this.#agent,
      method: request.method,
      path: request.query === undefined ? request.path : `${request.path}?${request.query}`,
      headers: [...request.headers, "Host", authorityOf(this.#options), ...framingOf(request), ...KEPT],
      maxHeaderSize: maxHeaderBytes,
    });
    // Node drops headers beyond a count without a word; the limit in bytes is enough.
    outgoing.maxHeadersCount = 0;
    return outgoing;
  }
}

// Else Node asks the origin to close a connection that is not its agent's.
const KEPT = ["Connection", "keep-alive"];

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
      fail(abortReason(signal));
    };
    const listener = { handleEvent: onAbort };
    signal.addEventListener("abort", listener);
    if (signal.aborted) onAbort();
    outgoing.on("error", fail);
    outgoing.once("close", () => {
      signal.removeEventListener("abort", listener);
      // An answer that switches protocols, which nobody asked for, is told by nothing but this.
      if (answer === undefined) fail(Object.assign(new Error("no answer"), { code: "ECONNRESET" }));
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
      if (status < 200) fail(new Error(`the answer has the status ${status}`));
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
  // Not before there is a connection: a body of which nothing was read can go elsewhere.
  outgoing.once("socket", (socket) => {
    if (socket.connecting) socket.once("connect", () => body.pipe(outgoing));
    else body.pipe(outgoing);
  });
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
