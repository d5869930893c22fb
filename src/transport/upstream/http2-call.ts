import { type ClientHttp2Stream, constants, type OutgoingHttpHeaders } from "node:http2";
import { addAbortSignal, Readable } from "node:stream";
import { type AbortListener, abortReason } from "../../core/call-signal.ts";
import type { GrpcCodeName } from "../../core/grpc-code.ts";
import type { Body, RequestMessage, ResponseMessage } from "../../core/message.ts";
import type { RawHeaders } from "../../core/raw-headers.ts";
import { isRefusedRepeat, withoutRepeats } from "../http/http2-header-object.ts";
import { MAX_INTERIM_ANSWERS } from "../http1/client-connection.ts";
import { type BodySource, IncomingBody } from "../http1/incoming-body.ts";
import { ForeignAnswer, MalformedMessage } from "../http1/message-head.ts";
import { Http2RequestBody } from "./http2-request-body.ts";
import type { Http2Session } from "./http2-session.ts";

/** Who finds a session for a call. */
export interface Http2Queue {
  readonly maxHeadBytes: number;
  dispatch(call: Http2Call): void;
  leaveQueue(call: Http2Call): void;
  malformed(reason: string): void;
}

// What a header takes in HTTP/1.1 beside its name and value, so that one limit means the same on both wires.
const HEADER_EXTRA_BYTES = ": \r\n".length;

/** One try of one request, on a stream of its own. */
export class Http2Call implements BodySource, AbortListener {
  readonly #request: RequestMessage;
  readonly #headers: OutgoingHttpHeaders;
  readonly #queue: Http2Queue;
  #resolve!: (response: ResponseMessage) => void;
  #reject!: (error: Error) => void;
  #session: Http2Session | undefined;
  #stream: ClientHttp2Stream | undefined;
  #outgoing: Http2RequestBody | undefined;
  /** The request's body has begun to be read: it cannot be sent again. */
  #bodyBegun = false;
  #requestSent = false;
  #interimAnswers = 0;
  #body: IncomingBody | undefined;
  #answered = false;
  /** The stream was ended by the origin, and not by a reset. */
  #endedByOrigin = false;
  #over = false;
  #streamError: Error | undefined;
  #trailers: RawHeaders = [];
  /** The origin has not looked at the request, and said so: it may be sent again whatever it is (RFC 9113 8.7). */
  isUnprocessed = false;
  /** The session had carried calls before and broke before a byte of this one's answer. */
  metStaleSession = false;

  constructor(request: RequestMessage, headers: OutgoingHttpHeaders, queue: Http2Queue) {
    this.#request = request;
    this.#headers = headers;
    this.#queue = queue;
  }

  /** Of one that failed: it never got a stream, or the origin has not looked at it. */
  get nothingSent(): boolean {
    return this.#stream === undefined || this.isUnprocessed;
  }

  /** Nothing has been taken from the request's body that another try would miss. */
  get isReplayable(): boolean {
    return !(this.#request.body instanceof Readable) || !this.#bodyBegun;
  }

  send(): Promise<ResponseMessage> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      const { signal } = this.#request;
      signal.addEventListener("abort", this);
      if (signal.aborted) this.handleEvent();
      else this.#queue.dispatch(this);
    });
  }

  /** The signal of the request has fired: nobody waits for its answer. */
  handleEvent(): void {
    this.#queue.leaveQueue(this);
    this.fail(abortReason(this.#request.signal));
  }

  begin(session: Http2Session): void {
    this.#session = session;
    const { body } = this.#request;
    const stream = this.#open(session, body === undefined || (body instanceof Uint8Array && body.byteLength === 0));
    if (stream === undefined) return;
    this.#stream = stream;
    this.#watchEnd(stream);
    // `close` follows.
    stream.on("error", (error) => {
      this.#streamError ??= error;
    });
    stream.on("headers", () => {
      if (++this.#interimAnswers > MAX_INTERIM_ANSWERS) {
        this.#refuse("the origin sent nothing but interim answers");
      }
    });
    // Node gives what arrived as a third argument, which its types do not have.
    stream.once("response", ((headers: { ":status"?: number }, flags: number, raw: string[]) => {
      this.#onResponse(headers[":status"] ?? 0, raw, (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0);
    }) as (...event: unknown[]) => void);
    if (this.#request.grpc === true) {
      stream.once("trailers", ((_headers: unknown, _flags: number, raw: string[]) => {
        this.#trailers = endToEndHeaders(raw);
      }) as (...event: unknown[]) => void);
    }
    stream.once("close", () => {
      this.#onClose();
    });
    this.#sendBody(stream);
  }

  /** Ends the try. Does nothing once it is over. */
  fail(error: Error): void {
    if (this.#over) return;
    const { isReplayable } = this;
    this.#finish();
    this.#cancel();
    // A body that nothing was read of can still be sent again.
    if (!isReplayable) this.#outgoing?.stop();
    if (!this.#answered) this.#reject(error);
    else this.#body?.destroy(error);
  }

  // BodySource: what the reader of the answer asks for.

  resume(): void {
    this.#stream?.resume();
  }

  pause(): void {
    this.#stream?.pause();
  }

  /** The rest of the answer is of use to nobody. */
  abandon(): void {
    this.fail(new Error("the answer was given up"));
  }

  /** Undefined where the session has ended a moment ago. */
  #open(session: Http2Session, endStream: boolean): ClientHttp2Stream | undefined {
    this.#requestSent = endStream;
    try {
      return session.open(this.#headers, { endStream });
    } catch (error) {
      try {
        if (isRefusedRepeat(error)) return session.open(withoutRepeats(this.#headers), { endStream });
      } catch {
        // Told below.
      }
      this.isUnprocessed = true;
      this.fail(error as Error);
      return undefined;
    }
  }

  /** Node shows the end of a stream that was reset as it does any other; only before it has closed it, it is one. */
  #watchEnd(stream: ClientHttp2Stream): void {
    const push = stream.push.bind(stream);
    stream.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
      if (chunk === null && !stream.closed) this.#endedByOrigin = true;
      return push(chunk, encoding);
    };
  }

  #sendBody(stream: ClientHttp2Stream): void {
    const { body, contentLength } = this.#request;
    if (this.#requestSent) return;
    if (!(body instanceof Readable)) {
      stream.once("finish", () => {
        this.#requestSent = true;
      });
      stream.end(body);
      return;
    }
    const outgoing = new Http2RequestBody(stream, body, contentLength, (error) => {
      this.#outgoing = undefined;
      if (error === undefined) this.#requestSent = true;
      else this.fail(error);
    });
    this.#outgoing = outgoing;
    const start = (): void => {
      if (this.#over) return;
      this.#bodyBegun = true;
      outgoing.start();
    };
    // Not before its head is on the wire: a body of which nothing was read can go elsewhere.
    if (stream.pending) stream.once("ready", start);
    else start();
  }

  #onResponse(status: number, raw: readonly string[], endsHere: boolean): void {
    if (this.#over) return;
    const headers = endToEndHeaders(raw);
    if (sizeOf(headers) > this.#queue.maxHeadBytes) {
      this.#refuse("the answer's headers are too large");
      return;
    }
    this.#answered = true;
    if (this.#session !== undefined) this.#session.isReused = true;
    if (endsHere) {
      this.#complete();
      this.#resolve(this.#answerOf(status, headers, undefined, () => headers));
      return;
    }
    const body = new IncomingBody(this, Number.POSITIVE_INFINITY);
    this.#body = body;
    this.#stream?.on("data", (piece: Buffer) => {
      body.addPiece(piece);
    });
    this.#stream?.once("end", () => {
      if (this.#endedByOrigin) this.#complete();
    });
    this.#resolve(this.#answerOf(status, headers, body, () => this.#trailers));
  }

  #answerOf(status: number, headers: RawHeaders, body: Body, trailers: () => RawHeaders): ResponseMessage {
    const response = { status, statusText: "", headers, body };
    return this.#request.grpc === true ? { ...response, trailers } : response;
  }

  #complete(): void {
    if (this.#over) return;
    this.#finish();
    this.#body?.complete();
    // An origin that has answered and not read the whole request will not read the rest.
    const stream = this.#stream;
    if (this.#requestSent || (stream?.writableEnded === true && stream.writableLength === 0)) return;
    this.#outgoing?.stop();
    this.#cancel();
  }

  #refuse(reason: string): void {
    this.#queue.malformed(reason);
    this.fail(new MalformedMessage(reason));
  }

  #onClose(): void {
    const stream = this.#stream;
    const session = this.#session;
    if (this.#over || stream === undefined || session === undefined) return;
    const { id, rstCode } = stream;
    this.isUnprocessed = id === undefined || rstCode === constants.NGHTTP2_REFUSED_STREAM || id > session.lastStreamId;
    this.metStaleSession = session.isReused && session.isGone;
    this.fail(this.#whyClosed(rstCode, session));
  }

  #whyClosed(rstCode: number, session: Http2Session): Error {
    if (rstCode === constants.NGHTTP2_HTTP_1_1_REQUIRED) return new ForeignAnswer("the origin asks for HTTP/1.1");
    // A session that is gone closes its streams with any code.
    const streamError = this.#streamError;
    if (session.isGone)
      return session.error ?? streamError ?? Object.assign(new Error("closed"), { code: "ECONNRESET" });
    const isReset =
      streamError === undefined || (streamError as NodeJS.ErrnoException).code === "ERR_HTTP2_STREAM_ERROR";
    return isReset ? new StreamReset(rstCode) : streamError;
  }

  #finish(): void {
    this.#over = true;
    this.#request.signal.removeEventListener("abort", this);
  }

  /** Not `close(code)`: that ends the request first, and the origin may take this end for the body's. */
  #cancel(): void {
    const stream = this.#stream;
    if (stream === undefined || stream.destroyed) return;
    this.#session?.noteReset();
    // Of all errors, Node sends CANCEL only for this one.
    addAbortSignal(AbortSignal.abort(), stream);
  }
}

/** The origin has reset the stream of a call (RFC 9113 7). */
export class StreamReset extends Error {
  override readonly name = "StreamReset";

  constructor(readonly rstCode: number) {
    super(`its stream was reset, with the code ${nameOf(rstCode)}`);
  }

  /** gRPC over HTTP/2, "HTTP2 Transport Mapping: Errors". */
  get grpcCode(): GrpcCodeName {
    return GRPC_CODES[this.rstCode] ?? "INTERNAL";
  }
}

const GRPC_CODES: Readonly<Record<number, GrpcCodeName>> = {
  [constants.NGHTTP2_REFUSED_STREAM]: "UNAVAILABLE",
  [constants.NGHTTP2_CANCEL]: "CANCELLED",
  [constants.NGHTTP2_ENHANCE_YOUR_CALM]: "RESOURCE_EXHAUSTED",
  [constants.NGHTTP2_INADEQUATE_SECURITY]: "PERMISSION_DENIED",
};

/** Without the status, which is the only pseudo header of an answer. */
function endToEndHeaders(raw: readonly string[]): RawHeaders {
  const headers: RawHeaders = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? "";
    if (!name.startsWith(":")) headers.push(name, raw[i + 1] ?? "");
  }
  return headers;
}

function sizeOf(headers: readonly string[]): number {
  return headers.reduce((sum, part) => sum + part.length, (headers.length / 2) * HEADER_EXTRA_BYTES);
}

// RFC 9113 7.
const ERROR_NAMES = [
  ...["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED"],
  ...["FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM"],
  ...["INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"],
];

function nameOf(code: number): string {
  return ERROR_NAMES[code] ?? String(code);
}
