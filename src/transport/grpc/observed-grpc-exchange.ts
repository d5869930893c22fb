import { Readable } from "node:stream";
import type { ApiObserver } from "../../core/api-observer.ts";
import type { Clock } from "../../core/clock.ts";
import { codeOfStatusText, GRPC_CODE } from "../../core/grpc-code.ts";
import { headerValue, type RawHeaders } from "../../core/raw-headers.ts";
import type { AnswerTrailers, HttpAnswer, HttpExchange } from "../http/http-exchange.ts";
import { WrappedExchange } from "../http/wrapped-exchange.ts";

// Beside each message: whether it is compressed, and its length.
const FRAME_BYTES = 5;

/** An exchange of gRPC that tells how its call has ended. */
export class ObservedGrpcExchange extends WrappedExchange {
  readonly sendsTrailers = true;
  readonly #observer: ApiObserver;
  readonly #clock: Clock;
  readonly #startedAt: number;
  readonly #isUnary: boolean;
  #hasEnded = false;

  /** @param isUnary its messages are one each way, and are counted. */
  constructor(inner: HttpExchange, observer: ApiObserver, clock: Clock, isUnary: boolean) {
    super(inner);
    this.#observer = observer;
    this.#clock = clock;
    this.#isUnary = isUnary;
    this.#startedAt = clock.monotonic();
    inner.signal.addEventListener("abort", {
      handleEvent: () => {
        this.#ended(GRPC_CODE.CANCELLED, 0);
      },
    });
  }

  get receivedBytes(): number {
    return this.inner.receivedBytes ?? 0;
  }

  override answer(answer: HttpAnswer): void {
    const { headers, body, trailers } = answer;
    if (trailers === undefined) {
      this.inner.answer(answer);
      const status = headerValue(headers, "grpc-status");
      // What is no gRPC has none.
      if (status !== undefined) this.#ended(codeOfStatusText(status), 0);
      return;
    }
    const sent = body === undefined || body instanceof Readable ? 0 : body.byteLength;
    this.inner.answer({ ...answer, trailers: this.#told(trailers, sent) });
  }

  #told(trailers: AnswerTrailers, sent: number): AnswerTrailers {
    const told = (headers: RawHeaders): RawHeaders => {
      this.#ended(codeOfStatusText(headerValue(headers, "grpc-status") ?? ""), sent);
      return headers;
    };
    return { complete: () => told(trailers.complete()), broken: (error) => told(trailers.broken(error)) };
  }

  #ended(code: number, sentBytes: number): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    const received = Math.max(0, this.receivedBytes - FRAME_BYTES);
    const bytes = this.#isUnary ? { received, sent: Math.max(0, sentBytes - FRAME_BYTES) } : undefined;
    const durationMs = this.#clock.monotonic() - this.#startedAt;
    this.#observer.grpcAnswered({ path: this.target, rawHeaders: this.rawHeaders, code, bytes, durationMs });
  }
}
