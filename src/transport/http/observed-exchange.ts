import { Readable } from "node:stream";
import type { ApiObserver, HttpApiCall } from "../../core/api-observer.ts";
import type { Clock } from "../../core/clock.ts";
import { routingPath, splitRequestTarget } from "./api-request.ts";
import { type HttpAnswer, type HttpExchange, hasNoBody } from "./http-exchange.ts";
import { isHealthCheck, operationOf } from "./operation.ts";
import { OUTRIGGER_PREFIX, outriggerPathOf } from "./outrigger-path.ts";
import { WrappedExchange } from "./wrapped-exchange.ts";

const NOT_ANSWERED = 500;

/** An exchange that tells of its answer once that has gone out to its last byte. */
export class ObservedExchange extends WrappedExchange implements HttpApiCall {
  status = NOT_ANSWERED;
  responseBytes = 0;
  durationMs = 0;
  readonly #observer: ApiObserver;
  readonly #clock: Clock;
  readonly #startedAt: number;
  /** An answer has begun, or everybody has been told that there was none. */
  #isSettled = false;
  #path: string | undefined;

  constructor(inner: HttpExchange, observer: ApiObserver, clock: Clock) {
    super(inner);
    this.#observer = observer;
    this.#clock = clock;
    this.#startedAt = clock.monotonic();
  }

  override answer(answer: HttpAnswer): void {
    // The caller has left: this goes nowhere.
    const isLost = this.inner.signal.aborted;
    this.inner.answer(answer);
    if (this.#isSettled || isLost) return;
    this.#isSettled = true;
    const { status, body, upgrade } = answer;
    this.status = status;
    // Nothing that follows a switch of protocols is looked at.
    if (upgrade !== undefined || body === undefined || hasNoBody(this.method, status)) this.#tell(0);
    else if (body instanceof Readable) this.#count(body);
    else this.#tell(body.byteLength);
  }

  /** Who handles it has done so, whether or not it could be answered. */
  handled(): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#tell(0);
  }

  // What is told of it.

  get path(): string {
    this.#path ??= splitRequestTarget(this.target)?.path ?? "/";
    return this.#path;
  }

  get countedPath(): string {
    const { path } = this;
    if (!path.includes(OUTRIGGER_PREFIX)) return path;
    return outriggerPathOf(this.method, routingPath(path))?.template ?? path;
  }

  get requestBytes(): number {
    return this.contentLength ?? 0;
  }

  get operation(): string {
    return operationOf(this.method, this.path, this.rawHeaders);
  }

  get isHealthCheck(): boolean {
    return isHealthCheck(this.method, this.path);
  }

  /** Whoever writes the pieces has just begun to take them, and sets their pace. */
  #count(body: Readable): void {
    if (body.closed) {
      this.#tell(0);
      return;
    }
    body.on("data", (piece: Uint8Array) => {
      this.responseBytes += piece.byteLength;
    });
    body.once("close", () => {
      this.#tell(this.responseBytes);
    });
  }

  #tell(responseBytes: number): void {
    this.responseBytes = responseBytes;
    this.durationMs = this.#clock.monotonic() - this.#startedAt;
    this.#observer.httpAnswered(this);
  }
}
