import type { OutgoingHttpHeaders, ServerHttp2Stream, ServerStreamResponseOptions } from "node:http2";
import { Readable } from "node:stream";
import { discard } from "../../core/body.ts";
import { CallAbort } from "../../core/call-signal.ts";
import { type BodySource, IncomingBody } from "../http1/incoming-body.ts";
import { type AnswerTrailers, BrokenAnswer, type HttpAnswer, type HttpExchange, hasNoBody } from "./http-exchange.ts";
import { addHeader, emptyHeaders, isRefusedRepeat, withoutRepeats } from "./http2-header-object.ts";
import type { Http2RequestHead } from "./http2-request-head.ts";
import type { NodeExchangeOwner } from "./node-exchange.ts";

/**
 * An exchange on one stream of an HTTP/2 connection. To break it is to reset its stream; the others on its connection go
 * on.
 */
export class Http2Exchange implements HttpExchange, BodySource {
  readonly #stream: ServerHttp2Stream;
  readonly #head: Http2RequestHead;
  readonly #owner: NodeExchangeOwner;
  readonly signal = new CallAbort();
  readonly sendsTrailers = true;
  #expectsContinue: boolean;
  #isAnswered = false;
  /** The request's body, once somebody has asked for it. */
  #incoming: IncomingBody | undefined;
  #received = 0;
  #isRequestComplete: boolean;
  /** The rest of the request is not wanted. */
  #refusesMore = false;
  /** The body of the answer, where it is a stream. */
  #outgoing: Readable | undefined;

  /** @param endsHere the request has no body. */
  constructor(stream: ServerHttp2Stream, head: Http2RequestHead, endsHere: boolean, owner: NodeExchangeOwner) {
    this.#stream = stream;
    this.#head = head;
    this.#expectsContinue = head.expectsContinue;
    this.#isRequestComplete = endsHere;
    this.#owner = owner;
    stream.once("aborted", this.#left);
    stream.once("close", this.#closed);
  }

  get method(): string {
    return this.#head.method;
  }

  get target(): string {
    return this.#head.target;
  }

  get rawHeaders(): readonly string[] {
    return this.#head.headers;
  }

  get contentLength(): number | undefined {
    return this.#head.contentLength;
  }

  get receivedBytes(): number {
    return this.#received;
  }

  get remoteAddress(): string | undefined {
    return this.#stream.session?.socket.remoteAddress;
  }

  get isAnswerable(): boolean {
    return !this.#isAnswered && !this.signal.aborted && !this.#stream.closed && !this.#stream.destroyed;
  }

  async readBody(): Promise<Uint8Array> {
    const pieces: Buffer[] = [];
    for await (const piece of this.streamBody(Number.POSITIVE_INFINITY) as AsyncIterable<Buffer>) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  streamBody(maxBytes: number): Readable {
    this.#invite();
    const body = new IncomingBody(this, maxBytes);
    if (this.signal.reason !== undefined) return body.destroy(this.signal.reason);
    this.#incoming = body;
    this.#stream.on("data", (piece: Buffer) => {
      this.#received += piece.length;
      body.addPiece(piece);
    });
    // Node tells the end of an empty stream to whoever listens, which nobody may have done yet.
    if (this.#stream.readableEnded) this.#requestEnded();
    else this.#stream.once("end", this.#requestEnded);
    return body;
  }

  answer({ status, headers, body, trailers }: HttpAnswer): void {
    if (body instanceof Readable && body.errored !== null) throw new BrokenAnswer(body.errored);
    if (!this.isAnswerable) {
      discard(body);
      return;
    }
    // RFC 9110 15.3.6: a 205 is as empty as a 204, and Node ends its stream as it does theirs.
    const isEmpty = hasNoBody(this.method, status) || status === 205;
    const announced = isEmpty || trailers !== undefined ? "none" : body;
    const endStream = (isEmpty || body === undefined) && trailers === undefined;
    try {
      this.#respond(answerHeaders(status, headers, announced), { endStream, waitForTrailers: trailers !== undefined });
    } catch (error) {
      // The answer cannot be passed on, and must not be left unread.
      discard(body);
      throw error;
    }
    this.#isAnswered = true;
    if (trailers !== undefined) {
      this.#answerWithTrailers(body, trailers);
      return;
    }
    // Node ends the stream of a HEAD before it is answered.
    if (this.#stream.writableFinished) this.#answerSent();
    else this.#stream.once("finish", this.#answerSent);
    if (isEmpty) {
      // Read, not cut: there is nothing in it, and its connection can be used again.
      if (body instanceof Readable) body.resume();
    } else if (body instanceof Readable) this.#relay(body, lengthIn(headers), this.#breakOff);
    else if (body !== undefined) this.#stream.end(body);
  }

  cut(): void {
    this.#reset("the call cannot be answered");
  }

  // BodySource: what the reader of the request's body asks for.

  resume(): void {
    this.#stream.resume();
  }

  pause(): void {
    this.#stream.pause();
  }

  abandon(): void {
    // Until there is an answer the client is held back by its window.
    if (!this.#refusesMore) this.#stream.pause();
  }

  #invite(): void {
    if (!this.#expectsContinue || !this.isAnswerable) return;
    this.#expectsContinue = false;
    this.#stream.additionalHeaders({ ":status": 100 });
  }

  /** The stream is over with its trailers, so that nothing may reset it when its last byte has gone out. */
  #answerWithTrailers(body: HttpAnswer["body"], trailers: AnswerTrailers): void {
    const stream = this.#stream;
    let broke: Error | undefined;
    stream.once("wantTrailers", () => {
      // Node calls this: what it throws, nobody catches.
      try {
        sendTrailers(stream, broke === undefined ? trailers.complete() : trailers.broken(broke));
      } catch {
        this.#reset("the trailers cannot be sent");
        return;
      }
      setImmediate(this.#answerSent);
    });
    if (!(body instanceof Readable)) stream.end(body);
    else {
      this.#relay(body, undefined, (error) => {
        broke ??= error;
        stream.end();
      });
    }
  }

  #respond(headers: OutgoingHttpHeaders, options: ServerStreamResponseOptions): void {
    // Tells the client, before the answer does, to call on another connection from now on.
    if (this.#owner.isClosing) this.#stream.session?.close();
    try {
      this.#stream.respond(headers, options);
    } catch (error) {
      if (!isRefusedRepeat(error)) throw error;
      this.#stream.respond(withoutRepeats(headers), options);
    }
  }

  /** @param onBroken called once where not all of it comes. */
  #relay(body: Readable, length: number | undefined, onBroken: (error: Error) => void): void {
    const stream = this.#stream;
    let owed = length;
    let isBroken = false;
    this.#outgoing = body;
    const breakOff = (error: Error = new Error("the answer broke off")): void => {
      if (isBroken) return;
      isBroken = true;
      body.destroy();
      onBroken(error);
    };
    body.on("data", (piece: Buffer) => {
      if (owed !== undefined) owed -= piece.length;
      if (owed !== undefined && owed < 0) breakOff();
      else if (!stream.write(piece)) body.pause();
    });
    stream.on("drain", () => {
      body.resume();
    });
    body.once("end", () => {
      if (owed !== undefined && owed > 0) breakOff();
      else stream.end();
    });
    body.once("error", breakOff);
    body.once("close", () => {
      if (!body.readableEnded) breakOff();
    });
    // It was given up before it came here, and says nothing any more.
    if (body.destroyed && !body.readableEnded) breakOff();
  }

  readonly #breakOff = (): void => {
    this.#reset("the answer broke off");
  };

  /** Not `close(code)`: that ends the stream first, and the client may see this end and take it for the answer's. */
  #reset(reason: string): void {
    this.#stream.destroy(new Error(reason));
  }

  /** RFC 9113 8.1: behind an answer that is complete, this asks the client to stop sending, and is no error. */
  readonly #answerSent = (): void => {
    if (this.#isRequestComplete || this.signal.aborted) return;
    this.#refusesMore = true;
    this.#incoming?.destroy(new Error("the answer was complete before the request"));
    this.#stream.close();
    // A stream is over only once it has been read.
    this.#stream.resume();
  };

  /** Node shows the end of a stream that was reset as it does any other end. */
  readonly #requestEnded = (): void => {
    const { aborted, rstCode } = this.#stream;
    const isShort = this.#received < (this.contentLength ?? 0);
    if (aborted || rstCode !== 0 || this.#refusesMore || isShort) return;
    this.#isRequestComplete = true;
    this.#incoming?.complete();
  };

  readonly #left = (): void => {
    if (this.signal.aborted) return;
    const gone = new Error("the caller reset its stream");
    this.signal.abort(gone);
    this.#outgoing?.destroy();
    if (!this.#isRequestComplete) this.#incoming?.destroy(gone);
    this.#stream.resume();
  };

  readonly #closed = (): void => {
    if (!this.#isAnswered || !this.#stream.writableFinished) this.#left();
    if (!this.#isRequestComplete) this.#incoming?.destroy(new Error("the caller's stream was closed"));
    this.#owner.ended();
  };
}

/** @throws {Error} where a header cannot be written. */
function answerHeaders(
  status: number,
  flat: readonly string[],
  body: HttpAnswer["body"] | "none",
): OutgoingHttpHeaders {
  const headers = emptyHeaders();
  headers[":status"] = status;
  for (let i = 0; i < flat.length; i += 2) {
    const name = (flat[i] ?? "").toLowerCase();
    const value = flat[i + 1] ?? "";
    // RFC 9110 8.6: a 204 has no length, whatever the app said; nor has a 205 any but 0.
    if (name === "content-length" && (status === 204 || status === 205)) continue;
    addHeader(headers, name, value);
  }
  // What has gRPC's status in its head is all trailers, which have no length.
  if (body === "none" || body instanceof Readable || headers["grpc-status"] !== undefined) return headers;
  const bytes = body?.byteLength ?? 0;
  headers["content-length"] ??= String(bytes);
  if (headers["content-length"] !== String(bytes)) {
    throw new Error(`the answer announces ${String(headers["content-length"])} bytes and has ${bytes}`);
  }
  return headers;
}

/**
 * What cannot be written is left out: the status beside it is worth more, and what Node does not take for a trailer
 * costs all but the status.
 *
 * @throws {Error} where not even that can be sent.
 */
function sendTrailers(stream: ServerHttp2Stream, flat: readonly string[]): void {
  const fields = emptyHeaders();
  for (let i = 0; i < flat.length; i += 2) {
    try {
      addHeader(fields, (flat[i] ?? "").toLowerCase(), flat[i + 1] ?? "");
    } catch {
      // No name or value of a header.
    }
  }
  try {
    stream.sendTrailers(fields);
  } catch (error) {
    stream.sendTrailers(isRefusedRepeat(error) ? withoutRepeats(fields) : statusAlone(fields));
  }
}

function statusAlone(fields: OutgoingHttpHeaders): OutgoingHttpHeaders {
  const status = emptyHeaders();
  for (const name of ["grpc-status", "grpc-message"]) {
    const value = fields[name];
    if (value !== undefined) status[name] = value;
  }
  return status;
}

function lengthIn(flat: readonly string[]): number | undefined {
  for (let i = 0; i < flat.length; i += 2) {
    if (flat[i]?.toLowerCase() === "content-length") return Number(flat[i + 1]);
  }
  return undefined;
}
