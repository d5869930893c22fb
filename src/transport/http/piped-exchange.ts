import { Readable } from "node:stream";
import type { MiddlewareRequest } from "../../components/contract/middleware.ts";
import { discard } from "../../core/body.ts";
import type { CallSignal } from "../../core/call-signal.ts";
import { isSwitched, type ResponseMessage } from "../../core/message.ts";
import { wholeBody } from "../whole-body.ts";
import { BrokenAnswer, type HttpAnswer, type HttpExchange } from "./http-exchange.ts";
import { UnopenedBody } from "./unopened-body.ts";

/** What a pipeline has passed on of a request, for a route to answer; the answer goes back to the pipeline. */
export class PipedExchange implements HttpExchange {
  /** Resolves once a route has answered. */
  readonly answered: Promise<ResponseMessage>;
  readonly method: string;
  readonly target: string;
  readonly rawHeaders: readonly string[];
  readonly contentLength: number | undefined;
  readonly upgrade: string | undefined;
  readonly #inner: HttpExchange;
  readonly #body: MiddlewareRequest["body"];
  #isAnswered = false;
  #resolve: (answer: ResponseMessage) => void = unreachable;

  constructor(inner: HttpExchange, passedOn: MiddlewareRequest) {
    const { method, path, query, headers, body, contentLength, upgrade } = passedOn;
    this.#inner = inner;
    this.method = method;
    this.target = query === undefined ? path : `${path}?${query}`;
    this.rawHeaders = headers;
    this.#body = body;
    this.contentLength = lengthOf(body, contentLength);
    this.upgrade = upgrade;
    this.answered = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  get signal(): CallSignal {
    return this.#inner.signal;
  }

  get remoteAddress(): string | undefined {
    return this.#inner.remoteAddress;
  }

  get isAnswerable(): boolean {
    return !this.#isAnswered && this.#inner.isAnswerable;
  }

  readBody(): Promise<Uint8Array> | Uint8Array {
    if (this.#isUntouched()) return this.#inner.readBody();
    return wholeBody(this.#body, this.contentLength ?? 0, this.signal);
  }

  streamBody(maxBytes: number): Readable {
    const body = this.#body;
    if (this.#isUntouched()) return this.#inner.streamBody(maxBytes);
    if (body instanceof Readable) return body;
    return Readable.from(body === undefined ? [] : [body], { objectMode: false });
  }

  answer(answer: HttpAnswer): void {
    const { status, statusText, headers, body } = answer;
    if (body instanceof Readable && body.errored !== null) throw new BrokenAnswer(body.errored);
    if (this.#isAnswered) {
      discard(body);
      return;
    }
    this.#isAnswered = true;
    this.#resolve(isSwitched(answer) ? answer : { status, statusText, headers, body });
  }

  cut(): void {
    this.#inner.cut();
  }

  /** No step has read it: its bytes come as they would without a pipeline. */
  #isUntouched(): boolean {
    return this.#body instanceof UnopenedBody && this.#body.giveUp();
  }
}

function lengthOf(body: MiddlewareRequest["body"], said: number | undefined): number | undefined {
  if (body === undefined) return 0;
  return body instanceof Uint8Array ? body.byteLength : said;
}

function unreachable(): void {
  // The promise has put its own in this place before anybody can call.
}
