import type { Duplex, Readable } from "node:stream";
import type { CallSignal } from "./call-signal.ts";
import type { RawHeaders } from "./raw-headers.ts";
import type { Span } from "./tracer.ts";

/**
 * What passes between the doors of Outrigger: small, flat, and not fetch's Request, whose web streams cost more than a
 * whole hop should (design.md). `import type` keeps this folder free of I/O: a body is only ever handed on here.
 */

/**
 * Bytes that are all here (and may be sent again), a stream that honours back-pressure (and may be read once), or
 * nothing. A stream that ends in an error is a broken message and must reach the far side as one.
 */
export type Body = Uint8Array | Readable | undefined;

export interface RequestMessage {
  /** The verb as sent to the callee, upper case. */
  readonly method: string;
  /** Begins with `/`, percent-encoded, no query. */
  readonly path: string;
  /** Verbatim, without the `?`; undefined where the request had no `?`. */
  readonly query: string | undefined;
  readonly headers: RawHeaders;
  readonly body: Body;
  /** Bytes of the body where the sender said so; undefined means chunked, for the receiver too, though all of it be here. */
  readonly contentLength: number | undefined;
  /** Fires when nobody waits for the answer any more. Whoever does work for this message stops then. */
  readonly signal: CallSignal;
  /**
   * The protocols that the sender would go on with on this connection, as its `Upgrade` header names them (RFC 9110 7.8);
   * the request has no body then. Absent from ordinary requests, which pay nothing for it.
   */
  readonly upgrade?: string;
  /**
   * The call is gRPC as it stands: `path` is `/package.Service/Method`, the headers are metadata as on the wire, the body
   * is a sequence of length-prefixed messages that nobody here decodes, and the answer ends in trailers. Absent from
   * ordinary requests.
   */
  readonly grpc?: true;
  /** When nobody waits any more, in milliseconds of the monotonic clock. Absent where the caller has set no deadline. */
  readonly deadline?: number;
  /**
   * The body is a message of protobuf that the caller has packed into an `Any`, and this is its `type_url`: a gRPC app gets
   * it back so. Absent from every other request, and nothing to an HTTP app.
   */
  readonly dataType?: string;
  /** What the request is under at the moment, for whoever has something to say of it. Absent where there is no tracer. */
  readonly span?: Span;
}

export interface ResponseMessage {
  readonly status: number;
  readonly statusText: string;
  readonly headers: RawHeaders;
  /** Whoever receives the message consumes or destroys it: a connection and a concurrency slot hang on it. */
  readonly body: Body;
  /** Of a {@link SwitchedAnswer} alone: the protocol that was chosen. */
  readonly upgrade?: string;
  /**
   * Present where a gRPC app has answered: `grpc-status` and what else came behind the body, complete once that has ended.
   * Of an answer that had no body at all (a trailers-only one), what stood in its head.
   */
  readonly trailers?: () => RawHeaders;
  /** As of the request: the `type_url` of what the app has packed. Only where there are {@link trailers}. */
  readonly dataType?: string;
}

/** The sender has gone over to a protocol that the request asked for. */
export interface SwitchedAnswer extends ResponseMessage {
  readonly status: 101;
  readonly upgrade: string;
  /** The connection from now on, what came together with the head included. Each half of it may end by itself. */
  readonly body: Duplex;
}

export function isSwitched(response: Pick<ResponseMessage, "upgrade">): response is SwitchedAnswer {
  return response.upgrade !== undefined;
}

/** The same answer under other headers. Written out, because a spread of an object is dear on a path this hot. */
export function withHeaders(response: ResponseMessage, headers: RawHeaders): ResponseMessage {
  if (response.upgrade !== undefined || response.trailers !== undefined) return { ...response, headers };
  const { status, statusText, body } = response;
  return { status, statusText, headers, body };
}

/** Which any wire can carry as it is. */
export function hasNoTrailers(response: ResponseMessage): response is ResponseMessage & { readonly trailers?: never } {
  return response.trailers === undefined;
}
