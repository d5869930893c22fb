import type { Socket } from "node:net";
import { Readable } from "node:stream";
import { abortReason } from "../../core/call-signal.ts";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import { hasNoBody } from "../http/http-exchange.ts";
import { type BodyDecoder, ChunkedDecoder, LengthDecoder, type PieceSink, UntilCloseDecoder } from "./body-decoder.ts";
import { type BodySource, IncomingBody } from "./incoming-body.ts";
import {
  foreignAnswer,
  HEAD_END,
  MalformedMessage,
  parseResponseHead,
  type ResponseHead,
  refuseBareLf,
} from "./message-head.ts";
import { OutgoingBody, type OutgoingBodyOwner, writeWhole, writeWholeChunked } from "./message-writer.ts";
import { SocketWriter } from "./socket-writer.ts";

/** Why a connection gave no answer, or not all of it; `code` as Node has it where Node said so. */
class ConnectionFailure extends Error {
  override readonly name = "ConnectionFailure";

  constructor(
    readonly code: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** What a pool lends to each of its connections. */
export interface ClientConnectionOwner {
  /** Bytes of an answer's head. */
  readonly maxHeadBytes: number;
  /** The exchange is over and the connection can carry another. */
  becameIdle(connection: ClientConnection): void;
  /** The origin broke the rules of HTTP. */
  malformed(reason: string): void;
  /** The connection is of no more use. Called once. */
  closed(connection: ClientConnection): void;
}

/** A request on its way. */
export interface ClientExchange {
  readonly request: RequestMessage;
  /** Request line and headers, complete. */
  readonly head: string;
  /** Called once, with the answer as its head has arrived. */
  answered(response: ResponseMessage): void;
  /** Called once, where there was no answer. */
  failed(error: Error): void;
}

/** What a socket emits once it can be written to: of TLS, once it is known who is there. */
export type ReadyEvent = "connect" | "secureConnect";

/** Until the connection can be used, a TLS handshake included. */
export const CONNECT_TIMEOUT_MS = 5000;
// An origin may say that it is still there; one that says nothing else is cut off.
export const MAX_INTERIM_ANSWERS = 100;

const EMPTY = Buffer.alloc(0);
const ANSWER_BEGINS = "HTTP/1.";

/** The client's side of one HTTP/1.1 connection: one exchange at a time. */
export class ClientConnection implements BodySource, PieceSink, OutgoingBodyOwner {
  /** True once an exchange on it has succeeded: its origin may have closed it meanwhile. */
  isReused = false;
  /** Once it could be written to. */
  wasReady = false;
  /** When it became idle, in milliseconds of the pool's clock. */
  idleSince = 0;
  readonly #socket: Socket;
  readonly #writer: SocketWriter;
  readonly #owner: ClientConnectionOwner;
  readonly #connectTimer: NodeJS.Timeout;
  #unread: Buffer = EMPTY;
  #exchange: ClientExchange | undefined;
  /** A byte of the answer has come. */
  #answerBegun = false;
  #interimAnswers = 0;
  #outgoing: OutgoingBody | undefined;
  #requestSent = false;
  /** A plain socket keeps what it is given until it is connected; through TLS nothing goes to an unknown host. */
  #mayWrite: boolean;
  /** Of the answer, while its body arrives. */
  #decoder: BodyDecoder | undefined;
  #body: IncomingBody | undefined;
  #bodyPaused = false;
  #keepAlive = false;
  #advancing = false;
  #over = false;

  /** @param socket connected, or about to be; of TLS, about to be. */
  constructor(
    socket: Socket,
    owner: ClientConnectionOwner,
    readyEvent: ReadyEvent = "connect",
    connectTimeoutMs = CONNECT_TIMEOUT_MS,
  ) {
    this.#owner = owner;
    this.#socket = socket;
    this.#writer = new SocketWriter(socket);
    this.#mayWrite = readyEvent === "connect";
    this.#connectTimer = setTimeout(() => {
      this.#fail(new ConnectionFailure("ETIMEDOUT", "the connection could not be made in time"));
    }, connectTimeoutMs);
    this.#socket.once(readyEvent, () => {
      this.#onReady();
    });
    this.#socket.on("drain", () => this.#outgoing?.drained());
    this.#socket.on("end", () => {
      this.#onEnd();
    });
    this.#socket.on("error", (error: NodeJS.ErrnoException) => {
      this.#fail(new ConnectionFailure(error.code ?? "", error.message, { cause: error }));
    });
    this.#socket.on("close", () => {
      this.#fail(closedEarly());
    });
  }

  /** True where the answer to the exchange that failed had not begun. */
  get isUntouched(): boolean {
    return !this.#answerBegun;
  }

  /** Sends a request. The connection is idle, or not connected yet. */
  send(exchange: ClientExchange): void {
    this.#exchange = exchange;
    this.#answerBegun = false;
    this.#interimAnswers = 0;
    this.#requestSent = false;
    const { request, head } = exchange;
    request.signal.addEventListener("abort", this);
    if (request.signal.aborted) {
      this.handleEvent();
      return;
    }
    if (request.body instanceof Readable) {
      this.#outgoing = new OutgoingBody(this.#writer, head, request.body, request.contentLength, this);
      // Not before there is a connection: a body of which nothing was read can go elsewhere.
      if (this.#mayWrite && !this.#socket.connecting) this.#outgoing.start();
    } else if (this.#mayWrite) this.#sendWhole(head, request.body, request.contentLength);
  }

  /** The signal of the request has fired: nobody waits for its answer. */
  handleEvent(): void {
    if (this.#exchange !== undefined) this.#fail(abortReason(this.#exchange.request.signal));
  }

  destroy(): void {
    this.#fail(closedEarly());
  }

  // BodySource: what the reader of the answer asks for.

  resume(): void {
    if (!this.#bodyPaused) return;
    this.#bodyPaused = false;
    this.#socket.resume();
    this.#advance();
  }

  pause(): void {
    this.#bodyPaused = true;
    this.#socket.pause();
  }

  /** The rest of the answer is of use to nobody, and may be long: the connection goes with it. */
  abandon(): void {
    this.#body = undefined;
    this.#fail(closedEarly());
  }

  // PieceSink: what has arrived of the body.

  addPiece(piece: Buffer): void {
    this.#body?.addPiece(Buffer.from(piece));
  }

  // OutgoingBodyOwner: how the request's body ended.

  bodySent(): void {
    this.#outgoing = undefined;
    this.#requestSent = true;
  }

  bodyBroke(error: Error): void {
    this.#outgoing = undefined;
    this.#fail(error);
  }

  /** Takes what has arrived. The bytes are the caller's again when this returns. */
  receive(bytes: Buffer): void {
    if (this.#over) return;
    if (this.#exchange === undefined) {
      // An answer to nothing: whatever it is, the next request must not get it.
      this.#fail(new MalformedMessage("the origin sent an answer that nobody asked for"));
      return;
    }
    this.#answerBegun = true;
    this.#unread = this.#unread.length === 0 ? bytes : Buffer.concat([this.#unread, bytes]);
    this.#advance();
    if (this.#unread.length > 0) this.#unread = Buffer.from(this.#unread);
  }

  #onReady(): void {
    clearTimeout(this.#connectTimer);
    if (this.#over) return;
    this.wasReady = true;
    const waited = this.#mayWrite ? undefined : this.#exchange;
    this.#mayWrite = true;
    if (this.#outgoing !== undefined) this.#outgoing.start();
    else if (waited !== undefined) {
      const { body, contentLength } = waited.request;
      if (!(body instanceof Readable)) this.#sendWhole(waited.head, body, contentLength);
    }
  }

  #sendWhole(head: string, body: Uint8Array | undefined, contentLength: number | undefined): void {
    this.#requestSent = true;
    if (body === undefined || contentLength !== undefined) writeWhole(this.#writer, head, body);
    else writeWholeChunked(this.#writer, head, body);
  }

  #onEnd(): void {
    if (this.#decoder instanceof UntilCloseDecoder && !this.#over) this.#answerComplete();
    else this.#fail(closedEarly());
  }

  #advance(): void {
    if (this.#advancing) return;
    this.#advancing = true;
    try {
      let more = true;
      while (more) more = !this.#isOver() && this.#step();
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error;
      this.#fail(error);
    } finally {
      this.#advancing = false;
    }
  }

  /** A question, for the compiler believes that what it saw false stays so. */
  #isOver(): boolean {
    return this.#over;
  }

  #step(): boolean {
    if (this.#exchange === undefined || this.#unread.length === 0 || this.#bodyPaused) return false;
    if (this.#decoder === undefined || this.#body === undefined) return this.#readHead(this.#exchange);
    const at = this.#decoder.decode(this.#unread, 0, this);
    if (this.#isOver()) return false;
    this.#unread = this.#unread.subarray(at);
    if (this.#decoder.done) this.#answerComplete();
    return true;
  }

  #readHead(exchange: ClientExchange): boolean {
    const bytes = this.#unread;
    const end = bytes.indexOf(HEAD_END);
    if ((end === -1 ? bytes.length : end) > this.#owner.maxHeadBytes) {
      throw new MalformedMessage("the answer's headers are too large");
    }
    if (end === -1) {
      refuseWhatIsNoHead(bytes);
      return false;
    }
    const head = parseResponseHead(bytes.toString("latin1", 0, end + HEAD_END.length));
    this.#unread = bytes.subarray(end + HEAD_END.length);
    if (head.status < 200) this.#passOver(head);
    else this.#begin(exchange, head);
    return true;
  }

  #passOver(head: ResponseHead): void {
    const { close, chunked, contentLength } = head.section;
    if (head.status === 101) throw new MalformedMessage("the origin switched protocols, which nobody asked for");
    if (head.minorVersion === 0) throw new MalformedMessage("HTTP/1.0 has no interim answers");
    // Either it is the last on its connection, or it has a body: it cannot be an interim answer then.
    if (close || chunked || contentLength !== undefined)
      throw new MalformedMessage("an interim answer has a body or ends the connection");
    if (++this.#interimAnswers > MAX_INTERIM_ANSWERS) {
      throw new MalformedMessage("the origin sent nothing but interim answers");
    }
  }

  #begin(exchange: ClientExchange, head: ResponseHead): void {
    const { status, statusText, section, minorVersion } = head;
    const { headers } = section;
    this.#keepAlive = minorVersion === 1 ? !section.close : section.keepAlive && !section.close;
    const length = hasNoBody(exchange.request.method, status) ? 0 : lengthOf(head);
    if (length !== undefined && length <= this.#unread.length) {
      const body = length === 0 ? undefined : Buffer.from(this.#unread.subarray(0, length));
      this.#unread = this.#unread.subarray(length);
      this.#answerComplete();
      exchange.answered({ status, statusText, headers, body });
      return;
    }
    const decoder = decoderFor(head, length);
    const arrived = new PieceList();
    this.#unread = this.#unread.subarray(decoder.decode(this.#unread, 0, arrived));
    if (decoder.done) {
      this.#answerComplete();
      exchange.answered({ status, statusText, headers, body: Buffer.concat(arrived.pieces) });
      return;
    }
    this.#decoder = decoder;
    this.#body = new IncomingBody(this, Number.POSITIVE_INFINITY);
    for (const piece of arrived.pieces) this.#body.addPiece(piece);
    exchange.answered({ status, statusText, headers, body: this.#body });
  }

  #answerComplete(): void {
    const body = this.#body;
    const untilClose = this.#decoder instanceof UntilCloseDecoder;
    this.#decoder = undefined;
    this.#body = undefined;
    // Its reader may be behind by all of the last piece, and says nothing to a connection that is done with it.
    if (this.#bodyPaused) this.#socket.resume();
    this.#bodyPaused = false;
    this.#endExchange();
    const outgoing = this.#outgoing;
    this.#outgoing = undefined;
    body?.complete();
    // What follows a complete answer is an answer to nothing.
    if (this.#unread.length > 0) this.#owner.malformed("the origin sent more than its answer");
    // An origin that has answered and not read the whole request will not read the rest.
    const isUnsent = !this.#requestSent || this.#writer.isWaiting || this.#socket.writableLength > 0;
    if (!this.#keepAlive || untilClose || isUnsent || this.#unread.length > 0) {
      outgoing?.stop();
      this.#close();
      return;
    }
    this.isReused = true;
    this.#owner.becameIdle(this);
  }

  #endExchange(): void {
    this.#exchange?.request.signal.removeEventListener("abort", this);
    this.#exchange = undefined;
  }

  #fail(error: Error): void {
    if (this.#over) return;
    const exchange = this.#exchange;
    const body = this.#body;
    const outgoing = this.#outgoing;
    this.#body = undefined;
    this.#outgoing = undefined;
    this.#endExchange();
    this.#close();
    // A body is there once its head has been handed on; then it is the body that tells.
    if (this.#decoder === undefined) exchange?.failed(error);
    else body?.destroy(error);
    // A body that nothing was read of can still go elsewhere.
    if (outgoing?.hasBegun === true) outgoing.stop();
    if (error instanceof MalformedMessage) this.#owner.malformed(error.message);
  }

  #close(): void {
    this.#over = true;
    clearTimeout(this.#connectTimer);
    this.#socket.destroy();
    this.#owner.closed(this);
  }
}

/** What has come of a body together with its head. */
class PieceList implements PieceSink {
  readonly pieces: Buffer[] = [];

  addPiece(piece: Buffer): void {
    this.pieces.push(Buffer.from(piece));
  }
}

function lengthOf({ section }: ResponseHead): number | undefined {
  return section.chunked ? undefined : section.contentLength;
}

function decoderFor({ section }: ResponseHead, length: number | undefined): BodyDecoder {
  if (section.chunked) return new ChunkedDecoder();
  return length === undefined ? new UntilCloseDecoder() : new LengthDecoder(length);
}

/** What is no head, or one with bare line ends, would never come to the end that is waited for. */
function refuseWhatIsNoHead(bytes: Buffer): void {
  if (!ANSWER_BEGINS.startsWith(bytes.toString("latin1", 0, ANSWER_BEGINS.length))) {
    throw foreignAnswer(bytes);
  }
  refuseBareLf(bytes, 0);
}

function closedEarly(): ConnectionFailure {
  return new ConnectionFailure("ECONNRESET", "connection closed before the end of the answer");
}
