import type { Readable } from "node:stream";
import type { CallSignal } from "../../core/call-signal.ts";
import type { Body } from "../../core/message.ts";
import type { RawHeaders } from "../../core/raw-headers.ts";

/**
 * One request and the means to answer it. Whoever handles it never learns which codec reads and writes its connection:
 * our own (`http1/`), Node's HTTP/1 or Node's HTTP/2.
 */
export interface HttpExchange {
  readonly method: string;
  /** The request target as sent. */
  readonly target: string;
  /** End-to-end and hop-by-hop headers alike, as sent. */
  readonly rawHeaders: readonly string[];
  /** Bytes of the request's body: 0 where it has none, undefined where it does not say. */
  readonly contentLength: number | undefined;
  /** Bytes of the request's body that have come so far, where they are counted. */
  readonly receivedBytes?: number;
  /** Fires when the client goes away before the answer is complete. */
  readonly signal: CallSignal;
  /** The protocols that the client would go on with, where it asks for any and we can. It has sent no body then. */
  readonly upgrade?: string | undefined;
  /** Whether what follows a body can be sent: only HTTP/2 carries it here. */
  readonly sendsTrailers?: true;
  /** False once an answer has begun, or there is nobody left to answer. */
  readonly isAnswerable: boolean;
  /**
   * All of a body that is known to be short. Invites a client that waits for `100 Continue` (RFC 9110 10.1.1).
   *
   * Rejects where the client goes away first.
   */
  readBody(): Promise<Uint8Array> | Uint8Array;
  /**
   * The body as it arrives; invites like `readBody`. Destroying it leaves the connection able to carry the answer.
   *
   * @param maxBytes the stream fails with "stream too large" beyond.
   */
  streamBody(maxBytes: number): Readable;
  /**
   * Answers, once. Where the answer switches protocols, both connections are joined; that is given only where the client
   * asked for it. The body is framed as its type and `Content-Length` demand; where a stream breaks, so does the
   * connection, for the client must never see an end that looks like one.
   *
   * @throws {BrokenAnswer} where the body has broken already.
   * @throws {Error} where a header cannot be written. In both cases nothing has been sent.
   */
  answer(answer: HttpAnswer): void;
  /** Breaks the connection. */
  cut(): void;
}

export interface HttpAnswer {
  readonly status: number;
  /** May be empty, for the usual one. */
  readonly statusText: string;
  /** End-to-end headers only. */
  readonly headers: RawHeaders;
  readonly body: Body;
  /** As of the message. */
  readonly upgrade?: string;
  /** Only where the exchange sends trailers. */
  readonly trailers?: AnswerTrailers;
}

/** What follows a body, asked for once, when that has ended. An answer with them announces no length. */
export interface AnswerTrailers {
  complete(): RawHeaders;
  /** The body has broken, with `error`: instead of breaking its stream, the answer ends with these. */
  broken(error: Error): RawHeaders;
}

/** What was to be answered had broken before it could begin: whoever handles the request can still say so. */
export class BrokenAnswer extends Error {
  override readonly name = "BrokenAnswer";

  constructor(cause: Error) {
    super(`the answer broke off: ${cause.message}`, { cause });
  }
}

/** RFC 9110 6.4.1: answers that have no body whatever their headers say. */
export function hasNoBody(method: string, status: number): boolean {
  return method === "HEAD" || status === 204 || status === 304;
}

/** What is left of a request once it has been answered is read for so long and thrown away, then the connection is cut. */
export const LINGER_MS = 10_000;

/**
 * A client that sends no more may only have closed its half of the connection, or be gone for good, which looks the
 * same. An answer within this time still goes out to it; later its call is given up. Of an answer that has begun, see
 * `SilenceWatch`.
 */
export const HALF_CLOSED_PATIENCE_MS = 1000;
