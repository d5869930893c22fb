import { abortReason } from "../../core/call-signal.ts";
import { CallError } from "../../core/errors.ts";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import type { RawHeaders } from "../../core/raw-headers.ts";
import { hostInUrl } from "../host-in-url.ts";

/**
 * The client half of the data path: one HTTP/1.1 origin, pooled connections, messages in and messages out. Whoever
 * sends never learns which codec stands behind it.
 */
export interface Upstream {
  /** `http://host:port`, for messages and Host. */
  readonly origin: string;
  /**
   * Sends the message and resolves with the head of the answer; the body follows with back-pressure.
   *
   * @throws {UpstreamError} where no answer began.
   * @throws the signal's reason where it fired first.
   */
  send(request: RequestMessage): Promise<ResponseMessage>;
  /** Cuts every connection. May be called twice. */
  destroy(): void;
}

export interface UpstreamOptions {
  /** A host name or an address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** Connections open at once; further calls wait for one. Infinite means no limit. */
  readonly maxConnections: number;
  /** Bytes of response headers before the call fails. */
  readonly maxHeaderBytes: number;
}

/** Where the codec is chosen: {@link upstreamFactory}. */
export type UpstreamFactory = (options: UpstreamOptions) => Upstream;

/** The origin could not be reached, or broke off before its answer began. */
export class UpstreamError extends Error {
  override readonly name = "UpstreamError";

  /** There was no connection: nothing of the request can have reached anybody. */
  get neverConnected(): boolean {
    const { syscall } = (this.cause ?? {}) as NodeJS.ErrnoException;
    return syscall === "connect" || syscall === "getaddrinfo";
  }
}

// Shorter than the 2 s after which gunicorn closes an idle connection without a word, so that we are the first to let go.
export const IDLE_CONNECTION_MS = 1500;
export const MAX_IDLE_CONNECTIONS = 256;

export function originOf({ host, port }: UpstreamOptions): string {
  return `http://${authorityOf({ host, port })}`;
}

export function authorityOf({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${hostInUrl(host)}:${port}`;
}

const METHODS_WITH_BODY = new Set(["POST", "PUT", "PATCH"]);

/**
 * The header that says how long the body is, name and value, or nothing (RFC 9112 6): said outright, so that a body is
 * framed by what it is and not by its verb.
 */
export function framingOf({ method, body, contentLength }: RequestMessage): RawHeaders {
  if (body === undefined) return METHODS_WITH_BODY.has(method) ? ["Content-Length", "0"] : [];
  return contentLength === undefined ? ["Transfer-Encoding", "chunked"] : ["Content-Length", `${contentLength}`];
}

const IDEMPOTENT = new Set(["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"]);

/**
 * Where a kept connection breaks before a byte of the answer, its origin had most likely closed it as it was idle
 * (RFC 9112 9.3.1). What may be done twice, and whose body is still there, is sent again on a new one.
 */
export function mayBeSentAgain({ method, body, signal }: RequestMessage, error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  const isReset = code === "ECONNRESET" || code === "EPIPE";
  const isReplayable = body === undefined || body instanceof Uint8Array;
  return isReset && !signal.aborted && IDEMPOTENT.has(method) && isReplayable;
}

/** What `send` throws for an exchange that failed with `error` before its answer began. */
export function explainFailure(origin: string, request: RequestMessage, error: unknown): unknown {
  // Not the origin's doing: the caller has gone, or the request's own body failed while it was sent.
  if (request.signal.aborted) return abortReason(request.signal);
  if (error instanceof CallError) return error;
  return new UpstreamError(`${origin}: ${reasonOf(error as NodeJS.ErrnoException)}`, { cause: error });
}

/** The part of Node's error codes that operators meet, in words. */
const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection closed before the answer",
  EPIPE: "connection closed before the answer",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network unreachable",
  ENOTFOUND: "host not found",
  ETIMEDOUT: "connection timed out",
  HPE_HEADER_OVERFLOW: "the answer's headers are too large",
};

function reasonOf(error: NodeJS.ErrnoException): string {
  return REASONS[error.code ?? ""] ?? error.message;
}
