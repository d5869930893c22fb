import type { Socket } from "node:net";
import { Readable } from "node:stream";
import { CallAbort } from "../../core/call-signal.ts";
import {
  BrokenAnswer,
  HALF_CLOSED_PATIENCE_MS,
  type HttpAnswer,
  type HttpExchange,
  hasNoBody,
  LINGER_MS,
} from "../http/http-exchange.ts";
import { SilenceWatch } from "../http/silence-watch.ts";
import { type BodyDecoder, ChunkedDecoder, LengthDecoder, type PieceSink } from "./body-decoder.ts";
import { type BodySource, IncomingBody } from "./incoming-body.ts";
import {
  HEAD_END,
  isCommonRequest,
  MalformedMessage,
  mayBeginMessage,
  parseRequestHead,
  type RequestHead,
  refuseBareLf,
} from "./message-head.ts";
import { headerLine, OutgoingBody, type OutgoingBodyOwner, writeWhole } from "./message-writer.ts";
import { SocketWriter } from "./socket-writer.ts";
import { httpDate, reasonPhrase } from "./status-line.ts";

/** What a server lends to each of its connections. */
export interface ConnectionOwner {
  /** Bytes of a request's head. */
  readonly maxHeadBytes: number;
  /** True once the listener is about to close: each answer must end its connection. */
  readonly isClosing: boolean;
  /** Seconds since some moment, for timeouts that need no exactness. */
  readonly seconds: number;
  /** A request has arrived. Answers it through the exchange, now or later. */
  begin(exchange: HttpExchange): void;
  /** The exchange that began last is over, or nobody waits for it any more. */
  ended(): void;
  /** Gives the connection to a codec that knows more forms. Nothing of `unread` has been acted on. */
  handOver(socket: Socket, unread: Buffer): void;
  /** The whole answer to a request that is refused. */
  refusal(status: RefusalStatus, reason: string): string;
  closed(connection: ServerConnection): void;
}

export type RefusalStatus = 400 | 408 | 431;

/** What may wait behind a request that is being answered. More is left to the kernel, and so to the client. */
const MAX_UNREAD_BYTES = 64 * 1024;

const EMPTY = Buffer.alloc(0);
const CR = 13;
const LF = 10;

/**
 * The server's side of one HTTP/1.1 connection: one exchange after the other, in the order of the requests.
 *
 * What it does not know (another version, method or form of target, an upgrade without a body) it hands over, unread bytes included.
 */
export class ServerConnection implements BodySource, OutgoingBodyOwner {
  readonly #socket: Socket;
  readonly #writer: SocketWriter;
  readonly #owner: ConnectionOwner;
  #unread: Buffer = EMPTY;
  #exchange: Exchange | undefined;
  /** Of the request's body, until that is complete. */
  #decoder: BodyDecoder | undefined;
  /** Takes the request's body; undefined while nobody has asked for it. */
  #sink: PieceSink | undefined;
  #outgoing: OutgoingBody | undefined;
  /** Of the answer that is streamed. */
  #answerHeaders: readonly string[] = [];
  /** Where an answer is streamed to a client that sends no more. */
  #silence: SilenceWatch | undefined;
  /** No more is read than the reader of the body can take. */
  #bodyPaused = false;
  #advancing = false;
  #over = false;
  #endAfterAnswer = false;
  /** The client has closed its half of the connection. */
  #clientEnded = false;
  /** When the head that is arriving began, or the connection became idle, in the owner's seconds. */
  #since: number;
  #headBegun = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, owner: ConnectionOwner) {
    this.#socket = socket;
    this.#writer = new SocketWriter(socket);
    this.#owner = owner;
    this.#since = owner.seconds;
    socket.on("data", this.#onData);
    socket.on("end", this.#onEnd);
    socket.on("error", ignore);
    socket.on("close", this.#onClose);
    socket.on("drain", this.#onDrain);
  }

  /** True while no request is arriving or being answered. */
  get isIdle(): boolean {
    return this.#exchange === undefined && !this.#headBegun;
  }

  /** Called about every second. */
  checkTimeouts(headSeconds: number, idleSeconds: number): void {
    if (this.#exchange !== undefined) return;
    const age = this.#owner.seconds - this.#since;
    if (this.#headBegun && age > headSeconds) this.#refuse(408, "the request's headers did not arrive in time");
    else if (age > idleSeconds) this.destroy();
  }

  /** Cuts the connection. An answer that is complete still goes out. */
  destroy(): void {
    this.#writer.now().destroy();
  }

  // What the exchange does.

  readBody(length: number): Promise<Uint8Array> | Uint8Array {
    if (this.#unread.length >= length) {
      const body = this.#unread.subarray(0, length);
      this.#unread = this.#unread.subarray(length);
      this.#requestComplete();
      this.#advance();
      return body;
    }
    this.#invite();
    return new Promise((resolve, reject) => {
      this.#readInto(new BodyGatherer(length, resolve, reject));
    });
  }

  streamBody(maxBytes: number): Readable {
    this.#invite();
    const body = new IncomingBody(this, maxBytes);
    this.#readInto(body);
    return body;
  }

  answer(exchange: Exchange, { status, statusText, headers, body }: HttpAnswer): void {
    if (body instanceof Readable && body.errored !== null) throw new BrokenAnswer(body.errored);
    const isLast = exchange.isLast || (this.#clientEnded && this.#unread.length === 0);
    // A client that waited to be invited may send its body or not: what comes next could be either.
    const isUnclear = exchange.expectsContinue && this.#decoder !== undefined;
    const endAfterAnswer = isLast || isUnclear || this.#owner.isClosing;
    const noBody = hasNoBody(exchange.method, status);
    const { head, length } = answerHead(status, statusText, headers, noBody ? "none" : body, endAfterAnswer);
    exchange.isAnswered = true;
    this.#endAfterAnswer = endAfterAnswer;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (noBody) {
      // Read, not cut: there is nothing in it, and its connection can be used again.
      if (body instanceof Readable) body.resume();
      writeWhole(this.#writer, head, undefined);
      this.bodySent();
    } else if (body instanceof Readable) {
      this.#outgoing = new OutgoingBody(this.#writer, head, body, length, this);
      this.#answerHeaders = headers;
      if (this.#clientEnded) this.#watchSilence();
      this.#outgoing.start();
    } else {
      writeWhole(this.#writer, head, body);
      this.bodySent();
    }
  }

  // BodySource: what the reader of the request's body asks for.

  resume(): void {
    if (!this.#bodyPaused) return;
    this.#bodyPaused = false;
    this.#advance();
  }

  pause(): void {
    this.#bodyPaused = true;
  }

  abandon(): void {
    if (this.#decoder === undefined) return;
    this.#sink = NOBODY;
    this.#bodyPaused = false;
    // Whoever abandons may be in the middle of a piece.
    setImmediate(() => {
      this.#advance();
    });
  }

  // OutgoingBodyOwner: how the answer ended.

  bodySent(): void {
    this.#outgoing = undefined;
    this.#silence?.stop();
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    exchange.isOver = true;
    // What still waits for the turn's end goes out by itself: the next request can be read. Where none follows, whoever
    // waits for the last answers may end the process, and the kernel has to have them.
    if (!this.#endAfterAnswer && this.#socket.writableLength === 0) this.#answerSent();
    else this.#writer.now().write("", this.#answerSent);
  }

  bodyBroke(_error: Error, unsentHead: string): void {
    this.#outgoing = undefined;
    // A connection that closes without a byte would say that the request was never acted on.
    if (unsentHead !== "") this.#writer.writeSoon(unsentHead);
    this.destroy();
  }

  readonly #answerSent = (): void => {
    // Called with an error, too, where the connection broke.
    if (this.#over || this.#exchange === undefined || this.#socket.destroyed) return;
    this.#countAsEnded(this.#exchange);
    if (this.#decoder === undefined) this.#nextExchange();
    else this.#linger();
  };

  #countAsEnded(exchange: Exchange): void {
    if (exchange.isCountedAsEnded) return;
    exchange.isCountedAsEnded = true;
    this.#owner.ended();
  }

  #nextExchange(): void {
    this.#exchange = undefined;
    this.#since = this.#owner.seconds;
    if (this.#endAfterAnswer) this.#endConnection();
    else this.#advance();
  }

  /** Everything written still goes out. */
  #endConnection(): void {
    this.#over = true;
    this.#writer.now().destroySoon();
  }

  /** A client that writes all before it reads gets to see the answer; one that goes on for ever is cut off. */
  #linger(): void {
    this.#timer = setTimeout(() => this.#socket.destroy(), LINGER_MS);
    const sink = this.#sink;
    this.#sink = NOBODY;
    this.#bodyPaused = false;
    // Whoever was to read it may have failed before the first byte, and never will.
    if (sink instanceof IncomingBody) sink.destroy();
    this.#advance();
  }

  readonly #onData = (bytes: Buffer): void => {
    if (this.#over) return;
    this.#unread = this.#unread.length === 0 ? bytes : Buffer.concat([this.#unread, bytes]);
    this.#advance();
  };

  readonly #onDrain = (): void => {
    this.#outgoing?.drained();
  };

  readonly #onEnd = (): void => {
    if (this.#over) return;
    this.#clientEnded = true;
    if (this.#exchange === undefined || this.#decoder !== undefined) this.#advance();
    else this.#limitPatience(this.#exchange);
  };

  /** The client sends no more, and may be gone. */
  #limitPatience(exchange: Exchange): void {
    if (exchange.isAnswered) {
      if (this.#outgoing !== undefined) this.#watchSilence();
      return;
    }
    this.#timer = setTimeout(() => this.#socket.destroy(), HALF_CLOSED_PATIENCE_MS);
  }

  #watchSilence(): void {
    this.#silence?.stop();
    this.#silence = new SilenceWatch(this.#socket, this.#answerHeaders);
  }

  readonly #onClose = (): void => {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#silence?.stop();
    const gone = new Error("the caller closed its connection");
    const sink = this.#sink;
    this.#sink = undefined;
    if (this.#decoder !== undefined) {
      this.#decoder = undefined;
      if (sink instanceof IncomingBody) sink.destroy(gone);
      else if (sink instanceof BodyGatherer) sink.fail(gone);
    }
    const exchange = this.#exchange;
    if (exchange !== undefined) {
      this.#exchange = undefined;
      this.#outgoing?.stop();
      this.#outgoing = undefined;
      if (!exchange.isOver) exchange.signal.abort(gone);
      this.#countAsEnded(exchange);
    }
    this.#owner.closed(this);
  };

  /** Reads on as far as what has arrived, and who takes it, allow. */
  #advance(): void {
    if (this.#advancing || this.#over) return;
    this.#advancing = true;
    try {
      let more = true;
      while (more) more = !this.#isOver() && this.#step();
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error;
      this.#refuse(400, error.message);
    } finally {
      this.#advancing = false;
    }
    if (!this.#isOver()) this.#steer();
  }

  /** A question, for the compiler believes that what it saw false stays so. */
  #isOver(): boolean {
    return this.#over;
  }

  /** True where there may be more to do at once. */
  #step(): boolean {
    if (this.#exchange === undefined) return this.#readHead();
    if (this.#decoder === undefined) return false;
    if (this.#unread.length === 0 && this.#clientEnded) {
      // What is missing of the body will not come.
      this.destroy();
      return false;
    }
    if (this.#sink === undefined || this.#bodyPaused || this.#unread.length === 0) return false;
    const at = this.#decoder.decode(this.#unread, 0, this.#sink);
    // The sink may have ended the connection.
    if (this.#isOver()) return false;
    this.#unread = this.#unread.subarray(at);
    if (this.#decoder.done) this.#requestComplete();
    return true;
  }

  #steer(): void {
    const full = this.#unread.length >= MAX_UNREAD_BYTES && this.#exchange !== undefined;
    const stop = this.#bodyPaused || full;
    if (stop !== this.#socket.isPaused()) {
      if (stop) this.#socket.pause();
      else this.#socket.resume();
    }
  }

  #readHead(): boolean {
    const bytes = this.#unread;
    // RFC 9112 2.2: an empty line before a request is passed over.
    let start = 0;
    while (bytes[start] === CR && bytes[start + 1] === LF) start += 2;
    if (start === bytes.length) {
      this.#unread = EMPTY;
      this.#headBegun = false;
      if (this.#clientEnded) this.#endConnection();
      return false;
    }
    const end = bytes.indexOf(HEAD_END, start);
    const { maxHeadBytes } = this.#owner;
    if (end === -1) {
      this.#awaitRestOfHead(bytes, start);
      return false;
    }
    if (end - start > maxHeadBytes) {
      this.#refuse(431, "the request's headers are over --read-buffer-size");
      return false;
    }
    const text = bytes.toString("latin1", start, end + HEAD_END.length);
    if (!isCommonRequest(text)) return this.#handOver(start);
    const head = parseRequestHead(text);
    const { upgrade, expect, chunked, contentLength = 0 } = head.section;
    // An upgrade with a body is declined by serving the request, see `upgradeAskedBy`.
    const asksForUpgrade = upgrade && !chunked && contentLength === 0;
    if (asksForUpgrade || (expect !== undefined && expect !== "100-continue")) return this.#handOver(start);
    this.#unread = bytes.subarray(end + HEAD_END.length);
    this.#headBegun = false;
    this.#begin(head);
    return true;
  }

  #awaitRestOfHead(bytes: Buffer, start: number): void {
    if (bytes.length - start > this.#owner.maxHeadBytes) {
      this.#refuse(431, "the request's headers are over --read-buffer-size");
      return;
    }
    if (!mayBeginMessage(bytes[start] ?? 0) && bytes[start] !== CR) {
      throw new MalformedMessage("this is no HTTP/1.1");
    }
    refuseBareLf(bytes, start);
    if (this.#clientEnded) throw new MalformedMessage("the connection ended within a request's headers");
    if (!this.#headBegun) {
      this.#headBegun = true;
      this.#since = this.#owner.seconds;
    }
  }

  #begin(head: RequestHead): void {
    const { contentLength, chunked } = head.section;
    if (chunked) this.#decoder = new ChunkedDecoder();
    else if (contentLength !== undefined && contentLength > 0) this.#decoder = new LengthDecoder(contentLength);
    const exchange = new Exchange(this, head);
    this.#exchange = exchange;
    this.#owner.begin(exchange);
    // What came before its connection's end may have been waiting behind another request.
    if (this.#clientEnded && this.#decoder === undefined) this.#limitPatience(exchange);
  }

  #handOver(start: number): false {
    const socket = this.#writer.now();
    // Nobody else could be told that no more will come.
    if (this.#clientEnded) throw new MalformedMessage("the connection has ended behind a request of an uncommon form");
    this.#over = true;
    socket.off("data", this.#onData);
    socket.off("end", this.#onEnd);
    socket.off("error", ignore);
    socket.off("close", this.#onClose);
    socket.off("drain", this.#onDrain);
    this.#owner.closed(this);
    // Node does not resume what somebody else has paused.
    if (socket.isPaused()) socket.resume();
    this.#owner.handOver(socket, this.#unread.subarray(start));
    return false;
  }

  #readInto(sink: PieceSink): void {
    this.#sink = sink;
    this.#advance();
  }

  #requestComplete(): void {
    const sink = this.#sink;
    this.#decoder = undefined;
    this.#sink = undefined;
    this.#bodyPaused = false;
    if (sink instanceof IncomingBody) sink.complete();
    // What was waited for after the answer.
    if (this.#exchange?.isOver === true && this.#timer !== undefined) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#nextExchange();
    }
  }

  #invite(): void {
    const exchange = this.#exchange;
    if (exchange?.expectsContinue !== true || exchange.isAnswered || this.#unread.length > 0) return;
    exchange.expectsContinue = false;
    this.#writer.writeSoon("HTTP/1.1 100 Continue\r\n\r\n");
  }

  #refuse(status: RefusalStatus, reason: string): void {
    const answered = this.#exchange?.isAnswered === true;
    const text = this.#owner.refusal(status, reason);
    // Within an answer that has begun, this one would be taken for a part of it.
    if (answered) {
      this.destroy();
      return;
    }
    this.#over = true;
    this.#exchange?.signal.abort(new MalformedMessage(reason));
    this.#writer.now().end(text, "latin1");
    this.#socket.destroySoon();
  }
}

/** One request on a connection, as its handler sees it. */
class Exchange implements HttpExchange {
  readonly #connection: ServerConnection;
  readonly #head: RequestHead;
  readonly signal = new CallAbort();
  isAnswered = false;
  /** Answered to the last byte. */
  isOver = false;
  isCountedAsEnded = false;
  expectsContinue: boolean;

  constructor(connection: ServerConnection, head: RequestHead) {
    this.#connection = connection;
    this.#head = head;
    this.expectsContinue = head.section.expect !== undefined;
  }

  /** The client will send no other request on this connection. */
  get isLast(): boolean {
    return this.#head.section.close;
  }

  get method(): string {
    return this.#head.method;
  }

  get target(): string {
    return this.#head.target;
  }

  get rawHeaders(): readonly string[] {
    return this.#head.section.headers;
  }

  get contentLength(): number | undefined {
    const { chunked, contentLength } = this.#head.section;
    return chunked ? undefined : (contentLength ?? 0);
  }

  get isAnswerable(): boolean {
    return !this.isAnswered && !this.signal.aborted;
  }

  readBody(): Promise<Uint8Array> | Uint8Array {
    if (this.signal.reason !== undefined) return Promise.reject(this.signal.reason);
    if (this.contentLength === undefined) throw new Error("a body of unknown length is streamed, not gathered");
    return this.#connection.readBody(this.contentLength);
  }

  streamBody(maxBytes: number): Readable {
    return this.#connection.streamBody(maxBytes);
  }

  answer(answer: HttpAnswer): void {
    if (this.isAnswerable) this.#connection.answer(this, answer);
    else if (answer.body instanceof Readable) answer.body.destroy();
  }

  cut(): void {
    this.#connection.destroy();
  }
}

/** A body of known length, read whole. */
class BodyGatherer implements PieceSink {
  readonly #length: number;
  readonly #resolve: (body: Uint8Array) => void;
  readonly fail: (error: Error) => void;
  readonly #pieces: Buffer[] = [];
  #got = 0;

  constructor(length: number, resolve: (body: Uint8Array) => void, reject: (error: Error) => void) {
    this.#length = length;
    this.#resolve = resolve;
    this.fail = reject;
  }

  addPiece(piece: Buffer): void {
    this.#pieces.push(piece);
    this.#got += piece.length;
    if (this.#got === this.#length) this.#resolve(Buffer.concat(this.#pieces));
  }
}

const NOBODY: PieceSink = {
  addPiece: ignore,
};

function answerHead(
  status: number,
  statusText: string,
  headers: readonly string[],
  body: HttpAnswer["body"] | "none",
  close: boolean,
): { head: string; length: number | undefined } {
  let head = `HTTP/1.1 ${status} ${reasonPhrase(status, statusText)}\r\n`;
  let length: number | undefined;
  let dated = false;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? "";
    const value = headers[i + 1] ?? "";
    if (name.length === 14 && name.toLowerCase() === "content-length") {
      // RFC 9110 8.6: a 204 has no length, whatever the app said.
      if (status === 204) continue;
      length = Number(value);
    } else if (name.length === 4 && name.toLowerCase() === "date") dated = true;
    head += headerLine(name, value);
  }
  if (!dated) head += `Date: ${httpDate()}\r\n`;
  if (close) head += "Connection: close\r\n";
  if (body === "none") return { head: `${head}\r\n`, length };
  if (body instanceof Readable) {
    return { head: length === undefined ? `${head}Transfer-Encoding: chunked\r\n\r\n` : `${head}\r\n`, length };
  }
  const bytes = body?.byteLength ?? 0;
  if (length === undefined) return { head: `${head}Content-Length: ${bytes}\r\n\r\n`, length: bytes };
  if (length !== bytes) throw new Error(`the answer announces ${length} bytes and has ${bytes}`);
  return { head: `${head}\r\n`, length };
}

function ignore(): void {
  // Intentionally nothing.
}
