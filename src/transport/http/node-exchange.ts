import { type IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { CallAbort, type CallSignal } from "../../core/call-signal.ts";
import { isSwitched, type SwitchedAnswer } from "../../core/message.ts";
import { withoutHeaders } from "../../core/raw-headers.ts";
import { limited } from "../body-limit.ts";
import { headerLine } from "../http1/message-writer.ts";
import { reasonPhrase } from "../http1/status-line.ts";
import { joinConnections } from "../join-connections.ts";
import { EarlyBytes } from "./early-bytes.ts";
import {
  BrokenAnswer,
  HALF_CLOSED_PATIENCE_MS,
  type HttpAnswer,
  type HttpExchange,
  hasNoBody,
  LINGER_MS,
} from "./http-exchange.ts";
import { SilenceWatch } from "./silence-watch.ts";

/** What a listener lends to each exchange. */
export interface NodeExchangeOwner {
  readonly isClosing: boolean;
  /** The answer is complete, or nobody waits for it. Called once. */
  ended(): void;
}

/** An exchange with a client that asks for other protocols, on a socket that Node has let go of for that. */
export function upgradeExchange(
  request: IncomingMessage,
  upgrade: string,
  unread: Buffer,
  owner: NodeExchangeOwner,
): NodeExchange {
  const { socket } = request;
  const early = new EarlyBytes(socket, unread);
  // Where the answer is an ordinary one, what Node does elsewhere is done here: no request follows on this connection.
  const response = new ServerResponse(request);
  response.assignSocket(socket);
  socket.on("drain", () => response.emit("drain"));
  response.once("finish", () => {
    response.detachSocket(socket);
    response.emit("close");
    const tooLong = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once("close", () => {
      clearTimeout(tooLong);
    });
    socket.end();
    early.take();
    socket.resume();
  });
  return new NodeExchange(request, response, false, owner, { protocols: upgrade, early });
}

/** What the client of an exchange asks for, on a socket that Node has let go of. */
interface AskedUpgrade {
  readonly protocols: string;
  readonly early: EarlyBytes;
}

/** An exchange on a connection that Node's own HTTP/1 server reads and writes. */
export class NodeExchange implements HttpExchange {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #owner: NodeExchangeOwner;
  readonly #gone = new CallAbort();
  readonly upgrade?: string;
  readonly #early: EarlyBytes | undefined;
  #expectsContinue: boolean;
  #isSwitched = false;
  #patience: NodeJS.Timeout | undefined;
  /** Of an answer that is streamed. */
  #streamed: readonly string[] | undefined;
  /** Where an answer is streamed to a client that sends no more. */
  #silence: SilenceWatch | undefined;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    expectsContinue: boolean,
    owner: NodeExchangeOwner,
    upgrade?: AskedUpgrade,
  ) {
    if (upgrade !== undefined) this.upgrade = upgrade.protocols;
    this.#early = upgrade?.early;
    this.#request = request;
    this.#response = response;
    this.#expectsContinue = expectsContinue;
    this.#owner = owner;
    response.on("close", this.#end);
    // A pipelined answer whose turn has not come does not hear of its connection's end.
    request.socket.on("close", this.#end);
    request.socket.on("end", this.#clientEnded);
  }

  get method(): string {
    return this.#request.method ?? "GET";
  }

  get target(): string {
    return this.#request.url ?? "/";
  }

  get rawHeaders(): readonly string[] {
    return this.#request.rawHeaders;
  }

  get contentLength(): number | undefined {
    const { headers } = this.#request;
    return headers["transfer-encoding"] === undefined ? Number(headers["content-length"] ?? 0) : undefined;
  }

  get signal(): CallSignal {
    return this.#gone;
  }

  get isAnswerable(): boolean {
    return !this.#isSwitched && !this.#response.headersSent && !this.#response.destroyed && !this.signal.aborted;
  }

  async readBody(): Promise<Uint8Array> {
    this.#invite();
    const pieces: Buffer[] = [];
    for await (const piece of this.#request as AsyncIterable<Buffer>) pieces.push(piece);
    return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
  }

  streamBody(maxBytes: number): Readable {
    this.#invite();
    // Not the request itself: whoever sends the body on may destroy it, and the connection is still to be answered.
    return limited(this.#request, maxBytes);
  }

  answer(answer: HttpAnswer): void {
    if (isSwitched(answer)) {
      this.#switch(answer);
      return;
    }
    const { status, statusText, headers, body } = answer;
    const response = this.#response;
    if (body instanceof Readable && body.errored !== null) throw new BrokenAnswer(body.errored);
    this.#lingerAfter();
    // HTTP/1.1 takes it for granted, and our own codec does not say it either.
    if (this.#request.httpVersion === "1.1") response.removeHeader("Connection");
    try {
      response.writeHead(status, reasonPhrase(status, statusText), this.#headersOf(status, headers, body));
    } catch (error) {
      // The answer cannot be passed on, and must not be left unread.
      if (body instanceof Readable) body.destroy();
      throw error;
    }
    if (hasNoBody(this.method, status)) {
      response.end();
      // Read, not cut: there is nothing in it, and its connection can be used again.
      if (body instanceof Readable) body.resume();
    } else if (body instanceof Readable) this.#relay(headers, body);
    else response.end(body);
  }

  cut(): void {
    this.#response.destroy();
    this.#request.socket.destroy();
  }

  #headersOf(status: number, headers: string[], body: HttpAnswer["body"]): string[] {
    // RFC 9110 8.6: a 204 has no length, whatever the app said.
    const all = status === 204 ? withoutHeaders(headers, (name) => name === "content-length") : [...headers];
    const isShort = !(body instanceof Readable) && !hasNoBody(this.method, status);
    if (isShort && !headers.some((name, i) => i % 2 === 0 && name.toLowerCase() === "content-length")) {
      all.push("Content-Length", `${body?.byteLength ?? 0}`);
    }
    // A client that waited to be invited may send its body or not: what comes next could be either.
    // And one that has closed its half will send no other request.
    // Nor will Node read another on a socket that it has let go of.
    const isLast = this.#expectsContinue || this.#request.socket.readableEnded || this.upgrade !== undefined;
    if (this.#owner.isClosing || isLast) all.push("Connection", "close");
    return all;
  }

  /** @throws {Error} where a header cannot be written. The connection to the app is given up then. */
  #switch({ headers, upgrade, body }: SwitchedAnswer): void {
    const { socket } = this.#request;
    if (!this.isAnswerable || socket.destroyed) {
      body.destroy();
      return;
    }
    try {
      // RFC 9110 8.6: it has no length, whatever the app said.
      const kept = withoutHeaders(headers, (name) => name === "content-length");
      kept.push("Connection", "Upgrade", "Upgrade", upgrade);
      let head = `HTTP/1.1 101 ${reasonPhrase(101, "")}\r\n`;
      for (let i = 0; i < kept.length; i += 2) head += headerLine(kept[i] ?? "", kept[i + 1] ?? "");
      socket.write(`${head}\r\n`, "latin1");
    } catch (error) {
      body.destroy();
      throw error;
    }
    this.#isSwitched = true;
    clearTimeout(this.#patience);
    socket.off("end", this.#clientEnded);
    this.#response.detachSocket(socket);
    // Not put back: the client's half may have ended behind them, and then takes nothing back.
    for (const bytes of this.#early?.take() ?? []) body.write(bytes);
    joinConnections(socket, body);
  }

  #relay(headers: readonly string[], body: Readable): void {
    const response = this.#response;
    this.#streamed = headers;
    if (this.#request.socket.readableEnded) this.#clientEnded();
    body.once("error", () => {
      this.#breakOff();
    });
    response.once("close", () => {
      body.destroy();
    });
    body.pipe(response);
    // The head goes out with the first bytes, in one write; where those keep the caller waiting, alone.
    setImmediate(() => {
      if (!response.writableEnded && !response.destroyed) response.flushHeaders();
    });
  }

  #breakOff(): void {
    // A connection that closes without a byte would say that the request was never acted on.
    this.#response.flushHeaders();
    // Only a reset tells a caller whose answer is ended by the connection's end that this was not the end. Unix sockets,
    // which have no remote family, have none.
    const { socket } = this.#response;
    if (this.#request.httpVersion === "1.0" && socket?.remoteFamily !== undefined) socket.resetAndDestroy();
    this.#response.destroy();
  }

  #invite(): void {
    if (!this.#expectsContinue) return;
    this.#expectsContinue = false;
    this.#response.writeContinue();
  }

  /** A client that writes all before it reads gets to see the answer; one that goes on for ever is cut off. */
  #lingerAfter(): void {
    const request = this.#request;
    const response = this.#response;
    if (request.complete) return;
    const isLast = !response.shouldKeepAlive;
    // Node would close a last connection as soon as it is answered, and a client that still sends would lose the answer.
    if (request.httpVersion === "1.1") response.shouldKeepAlive = true;
    response.once("finish", () => {
      const { socket } = request;
      const end = (): void => {
        if (isLast) socket.destroySoon();
      };
      if (request.complete) {
        end();
        return;
      }
      const tooLong = setTimeout(() => socket.destroy(), LINGER_MS);
      request.once("close", () => {
        clearTimeout(tooLong);
        end();
      });
      request.unpipe();
      request.on("data", () => undefined);
      request.resume();
    });
  }

  readonly #clientEnded = (): void => {
    clearTimeout(this.#patience);
    if (this.#streamed !== undefined) {
      this.#silence = new SilenceWatch(this.#request.socket, this.#streamed);
      return;
    }
    this.#patience = setTimeout(() => {
      if (!this.#response.headersSent) this.#request.socket.destroy();
    }, HALF_CLOSED_PATIENCE_MS);
  };

  readonly #end = (): void => {
    const { socket } = this.#request;
    socket.off("close", this.#end);
    socket.off("end", this.#clientEnded);
    this.#response.off("close", this.#end);
    clearTimeout(this.#patience);
    this.#silence?.stop();
    if (!this.#isSwitched && !this.#response.writableFinished)
      this.#gone.abort(new Error("the caller closed its connection"));
    this.#owner.ended();
  };
}
