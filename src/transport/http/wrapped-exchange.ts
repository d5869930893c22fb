import type { Readable } from "node:stream";
import type { CallSignal } from "../../core/call-signal.ts";
import type { HttpAnswer, HttpExchange } from "./http-exchange.ts";

/** An exchange in front of another one: the same, but for what a subclass changes. */
export abstract class WrappedExchange implements HttpExchange {
  protected readonly inner: HttpExchange;

  constructor(inner: HttpExchange) {
    this.inner = inner;
  }

  get method(): string {
    return this.inner.method;
  }

  get target(): string {
    return this.inner.target;
  }

  get rawHeaders(): readonly string[] {
    return this.inner.rawHeaders;
  }

  get contentLength(): number | undefined {
    return this.inner.contentLength;
  }

  get signal(): CallSignal {
    return this.inner.signal;
  }

  get remoteAddress(): string | undefined {
    return this.inner.remoteAddress;
  }

  get upgrade(): string | undefined {
    return this.inner.upgrade;
  }

  get isAnswerable(): boolean {
    return this.inner.isAnswerable;
  }

  readBody(): Promise<Uint8Array> | Uint8Array {
    return this.inner.readBody();
  }

  streamBody(maxBytes: number): Readable {
    return this.inner.streamBody(maxBytes);
  }

  answer(answer: HttpAnswer): void {
    this.inner.answer(answer);
  }

  cut(): void {
    this.inner.cut();
  }
}
