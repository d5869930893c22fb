import type { Readable } from "node:stream";
import { abortReason, CallAbort, type CallSignal } from "../../core/call-signal.ts";
import { type Clock, LONGEST_TIMER_MS } from "../../core/clock.ts";
import { GRPC_CODE } from "../../core/grpc-code.ts";
import type { Body } from "../../core/message.ts";
import { headerValue, type RawHeaders } from "../../core/raw-headers.ts";
import type { AnswerTrailers, HttpExchange } from "../http/http-exchange.ts";
import { statusOfTrailers } from "./answer-status.ts";
import { frameOf } from "./message-frames.ts";
import { MessageStream } from "./message-stream.ts";
import { readMessages } from "./read-messages.ts";
import { type GrpcStatus, grpcError, OK, statusTrailers } from "./status.ts";
import { parseTimeout } from "./timeout.ts";

const CONTENT_TYPE = ["content-type", "application/grpc"];

/** One gRPC call to be answered, over an exchange of HTTP/2. It is answered once, by one of the methods that do. */
export class GrpcCall {
  /** Fires when the caller leaves, or its deadline passes. */
  readonly signal: CallSignal;
  /** Milliseconds of the monotonic clock; undefined where the caller has set none. */
  readonly deadline: number | undefined;
  readonly #exchange: HttpExchange;
  readonly #maxMessageBytes: number;
  readonly #clock: Clock;
  readonly #abort = new CallAbort();
  #timer: NodeJS.Timeout | undefined;
  #tellEnd: ((status: GrpcStatus) => void) | undefined;

  /** @param maxMessageBytes of one message from the caller, `--max-body-size`. */
  constructor(exchange: HttpExchange, maxMessageBytes: number, clock: Clock) {
    this.#exchange = exchange;
    this.#clock = clock;
    this.#maxMessageBytes = maxMessageBytes;
    this.signal = this.#abort;
    const timeoutMs = parseTimeout(headerValue(exchange.rawHeaders, "grpc-timeout") ?? "");
    this.deadline = timeoutMs === undefined ? undefined : clock.monotonic() + timeoutMs;
    this.#watch();
  }

  /** `/package.Service/Method`. */
  get path(): string {
    return this.#exchange.target;
  }

  /** As on the wire, what is about the call included. */
  get metadata(): readonly string[] {
    return this.#exchange.rawHeaders;
  }

  /** Whether the call can still be answered. */
  get isAnswerable(): boolean {
    return this.#exchange.isAnswerable;
  }

  /** @param told once, the status that the call has ended with: CANCELLED where its caller leaves before there is one. */
  whenEnded(told: (status: GrpcStatus) => void): void {
    this.#tellEnd = told;
  }

  /** The messages as they are on the wire, undecoded, with back-pressure. */
  get body(): Readable {
    return this.#exchange.streamBody(Number.POSITIVE_INFINITY);
  }

  /**
   * The one message of a call that has one.
   *
   * @throws {GrpcError} as {@link messages} does, and INTERNAL where there is none, or more than one.
   */
  async message(): Promise<Uint8Array> {
    let only: Uint8Array | undefined;
    for await (const message of this.messages()) {
      if (only !== undefined) throw grpcError("INTERNAL", "grpc: more than one message in a unary call");
      only = message;
    }
    if (only === undefined) throw grpcError("INTERNAL", "grpc: no message in a unary call");
    return only;
  }

  /**
   * The messages as they come, decompressed; the caller is held back where they are not taken.
   *
   * @throws {GrpcError} RESOURCE_EXHAUSTED for one that is too large, UNIMPLEMENTED for an unknown compression, INTERNAL
   *   for what is no message.
   * @throws the signal's reason, where the caller leaves or its time is up.
   */
  messages(): AsyncGenerator<Uint8Array> {
    return this.messagesIn(this.body);
  }

  /** The same, of a body that the caller has taken, and can give up. */
  async *messagesIn(body: Readable): AsyncGenerator<Uint8Array> {
    const { signal } = this;
    // Nothing else ends the wait for a message that does not come.
    const over = { handleEvent: () => void body.destroy(abortReason(signal)) };
    if (signal.aborted) over.handleEvent();
    else signal.addEventListener("abort", over);
    try {
      yield* readMessages(body, headerValue(this.metadata, "grpc-encoding"), this.#maxMessageBytes);
    } finally {
      signal.removeEventListener("abort", over);
    }
  }

  /** @param headers of the application's, sent before the message; `trailers`, behind it. */
  reply(message: Uint8Array, headers: readonly string[] = [], trailers: readonly string[] = []): void {
    const all = [...statusTrailers(OK), ...trailers];
    this.#answer(headers, frameOf(message), { complete: () => all, broken: () => all });
  }

  /** @param headers sent before the status, where there are any; else the status is all that is sent. */
  fail(status: GrpcStatus, headers: readonly string[] = [], trailers: readonly string[] = []): void {
    const all = [...statusTrailers(status), ...trailers];
    if (headers.length === 0) this.#answer(all, undefined, undefined);
    else this.#answer(headers, undefined, { complete: () => all, broken: () => all });
  }

  /** Begins an answer of any number of messages. The status is the stream's to give. */
  stream(headers: readonly string[] = []): MessageStream {
    const stream = new MessageStream();
    this.#answer(headers, stream, {
      complete: () => statusTrailers(stream.status),
      broken: (error) => statusTrailers({ code: GRPC_CODE.INTERNAL, message: error.message }),
    });
    return stream;
  }

  /**
   * Answers with what another has answered, as it is.
   *
   * @param trailers undefined where the head is the whole answer.
   * @throws {Error} as `HttpExchange.answer` does.
   */
  relay(headers: RawHeaders, body: Body, trailers: AnswerTrailers | undefined): void {
    this.#send(headers, body, trailers);
  }

  #answer(headers: readonly string[], body: Body, trailers: AnswerTrailers | undefined): void {
    this.#send([...CONTENT_TYPE, ...headers], body, trailers);
  }

  #send(headers: RawHeaders, body: Body, trailers: AnswerTrailers | undefined): void {
    const answer = { status: 200, statusText: "", headers, body };
    this.#exchange.answer(trailers === undefined ? answer : { ...answer, trailers: this.#settled(trailers) });
    if (trailers === undefined) this.#ended(headers);
  }

  /** The deadline is no longer one once the status is sent. */
  #settled(trailers: AnswerTrailers): AnswerTrailers {
    return {
      complete: () => this.#ended(trailers.complete()),
      broken: (error) => this.#ended(trailers.broken(error)),
    };
  }

  #ended(trailers: RawHeaders): RawHeaders {
    this.#settle();
    if (this.#tellEnd !== undefined) this.#tell(statusOfTrailers(trailers));
    return trailers;
  }

  #tell(status: GrpcStatus): void {
    const tellEnd = this.#tellEnd;
    this.#tellEnd = undefined;
    tellEnd?.(status);
  }

  #settle(): void {
    clearTimeout(this.#timer);
  }

  #watch(): void {
    const { signal } = this.#exchange;
    const left = {
      handleEvent: () => {
        this.#settle();
        this.#tell({ code: GRPC_CODE.CANCELLED, message: "the caller has left" });
        this.#abort.abort(signal.reason instanceof Error ? signal.reason : new Error("the caller has left"));
      },
    };
    if (signal.aborted) left.handleEvent();
    else signal.addEventListener("abort", left);
    if (this.deadline !== undefined && !signal.aborted) this.#time(this.deadline);
  }

  #time(deadline: number): void {
    const left = deadline - this.#clock.monotonic();
    const over = (): void => {
      this.#abort.abort(grpcError("DEADLINE_EXCEEDED", "context deadline exceeded"));
    };
    const rest = (): void => {
      this.#time(deadline);
    };
    this.#timer = left > LONGEST_TIMER_MS ? setTimeout(rest, LONGEST_TIMER_MS) : setTimeout(over, left);
  }
}
