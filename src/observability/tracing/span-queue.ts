import type { ReadableSpan, SpanExporter } from "@opentelemetry/sdk-trace-base";
import { messageOf } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import type { SpanSink } from "./span-sink.ts";

export interface SpanQueueParts {
  readonly exporter: SpanExporter;
  /** Where the exporter sends to, for the log. */
  readonly destination: string;
  readonly log: Logger;
  /** How long a span waits for others to be sent with it. */
  readonly delayMs: number;
}

// As OpenTelemetry's batch processor has them.
const MAX_WAITING = 2048;
const MAX_BATCH = 512;
// An exporter gives up by itself, sooner; that for Zipkin does not.
const EXPORT_TIMEOUT_MS = 15_000;
const TELL_INTERVAL_MS = 60_000;

/**
 * Spans on their way to a collector, one batch at a time. Beyond {@link MAX_WAITING} they are lost, so that a collector
 * that is slow or down costs calls nothing; how many that were is told at once and then once a minute.
 *
 * OpenTelemetry's own batch processor tells what it loses only to a logger that the whole process shares.
 */
export class SpanQueue implements SpanSink {
  readonly #parts: SpanQueueParts;
  #waiting: ReadableSpan[] = [];
  #delay: NodeJS.Timeout | undefined;
  /** The sending that is under way; one at a time. */
  #sending: Promise<void> | undefined;
  #lost = 0;
  #why = "";
  #telling: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;

  constructor(parts: SpanQueueParts) {
    this.#parts = parts;
  }

  add(span: ReadableSpan): void {
    if (this.#closed !== undefined) return;
    if (this.#waiting.length >= MAX_WAITING) {
      this.#lose(1, `more than ${MAX_WAITING} spans wait to be sent`);
      return;
    }
    this.#waiting.push(span);
    if (this.#waiting.length >= MAX_BATCH) this.#send();
    else {
      this.#delay ??= setTimeout(() => {
        this.#send();
      }, this.#parts.delayMs).unref();
    }
  }

  async flush(): Promise<void> {
    while (this.#closed === undefined && (this.#waiting.length > 0 || this.#sending !== undefined)) {
      this.#send();
      await this.#sending;
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#end();
    return this.#closed;
  }

  async #end(): Promise<void> {
    clearTimeout(this.#delay);
    clearTimeout(this.#telling);
    this.#telling = undefined;
    this.#lose(this.#waiting.length, "the sidecar has ended");
    clearTimeout(this.#telling);
    this.#waiting = [];
    // Some wait here for what they have under way, which may take long and nobody is told of any more.
    this.#parts.exporter.shutdown().catch(() => undefined);
    await Promise.resolve();
  }

  #send(): void {
    clearTimeout(this.#delay);
    this.#delay = undefined;
    if (this.#sending !== undefined || this.#waiting.length === 0) return;
    this.#sending = this.#sendWaiting().finally(() => {
      this.#sending = undefined;
    });
  }

  async #sendWaiting(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, MAX_BATCH);
      const failure = await this.#export(batch);
      if (failure !== undefined) this.#lose(batch.length, failure);
    }
  }

  /** @returns why it was not sent; undefined where it was. */
  #export(batch: ReadableSpan[]): Promise<string | undefined> {
    return new Promise((resolve) => {
      const late = setTimeout(() => {
        resolve(`no answer within ${EXPORT_TIMEOUT_MS} ms`);
      }, EXPORT_TIMEOUT_MS).unref();
      const done = (failure: string | undefined): void => {
        clearTimeout(late);
        resolve(failure);
      };
      try {
        this.#parts.exporter.export(batch, ({ code, error }) => {
          const number: number = code;
          done(number === SUCCESS ? undefined : error === undefined ? "it was refused" : messageOf(error));
        });
      } catch (error) {
        done(messageOf(error));
      }
    });
  }

  #lose(count: number, why: string): void {
    this.#lost += count;
    if (count > 0) this.#why = why;
    if (this.#telling === undefined) this.#tell();
  }

  #tell(): void {
    this.#telling = undefined;
    if (this.#lost === 0) return;
    const { log, destination } = this.#parts;
    log.warn(`spans were lost on their way to ${destination}; calls go on`, { lost: this.#lost, why: this.#why });
    this.#lost = 0;
    this.#telling = setTimeout(() => {
      this.#tell();
    }, TELL_INTERVAL_MS).unref();
  }
}

// ExportResultCode of @opentelemetry/core, which we have no other use for.
const SUCCESS = 0;
