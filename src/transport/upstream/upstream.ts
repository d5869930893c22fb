import { abortReason } from "../../core/call-signal.ts";
import { CallError } from "../../core/errors.ts";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import type { RawHeaders } from "../../core/raw-headers.ts";
import { hostInUrl } from "../host-in-url.ts";
import { ForeignAnswer } from "../http1/message-head.ts";

/**
 * The client half of the data path: one origin, pooled connections, messages in and messages out. Whoever sends never
 * learns which protocol or codec stands behind it.
 */
export interface Upstream {
  /** `http://host:port`, or `https`, for messages and Host. */
  readonly origin: string;
  /**
   * Sends the message and resolves with the head of the answer; the body follows with back-pressure.
   *
   * @throws {UpstreamError} where no answer began.
   * @throws the signal's reason where it fired first.
   */
  send(request: RequestMessage): Promise<ResponseMessage>;
  /** Whether there is a connection, idle or with a call on it. Idle ones end by themselves, in time. */
  readonly isConnected: boolean;
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
  /** Until a connection can be used, a TLS handshake included; 5 s where nothing is said. */
  readonly connectTimeoutMs?: number;
  /** How the origin is spoken to; HTTP/1.1 without TLS where nothing is said. */
  readonly wire?: UpstreamWire;
}

/**
 * `https` is HTTP/1.1 over TLS, `h2` HTTP/2 over TLS (RFC 9113 3.2), `h2c` HTTP/2 without it, to an origin that is known to
 * speak it (RFC 9113 3.3).
 */
export type UpstreamWire =
  | { readonly kind: "https" | "h2"; readonly trust: TlsTrust | undefined }
  | { readonly kind: "h2c" };

/** Whose certificate an origin must show. Where nothing is said, any will do. */
export interface TlsTrust {
  /** PEM, one or several: the certificates of authorities, or the origin's own; undefined: those that Node comes with. */
  readonly ca: string | undefined;
  /** The name or address that the certificate is for; undefined means the host that is connected to. */
  readonly serverName: string | undefined;
  /** What to show where the origin asks who calls; PEM. */
  readonly own?: { readonly certificate: string; readonly privateKey: string };
  /** Of TLS 1.2: how often the origin may ask for a new handshake on a connection; as often as it likes where nothing is said. */
  readonly renegotiation?: "never" | "once" | "freely";
}

/** Where the codec is chosen: {@link upstreamFactory}. */
export type UpstreamFactory = (options: UpstreamOptions) => Upstream;

/**
 * Why an origin gave no answer, as far as it tells what its user can do: `foreign`, it speaks another protocol;
 * `untrusted`, its certificate is refused; `broken`, it broke off, which a foreign one may do too; `other`.
 */
export type FailureKind = "foreign" | "untrusted" | "broken" | "other";

/** The origin could not be reached, or broke off before its answer began. */
export class UpstreamError extends Error {
  override readonly name = "UpstreamError";
  /** A wrong protocol or an untrusted certificate too: it is not the call's doing. */
  readonly grpcCode = "UNAVAILABLE";
  /** The origin has got nothing of the request, or says that it has not looked at it. */
  readonly nothingSent: boolean;

  constructor(
    readonly kind: FailureKind,
    message: string,
    options?: ErrorOptions & { readonly nothingSent?: boolean },
  ) {
    super(message, options);
    this.nothingSent = options?.nothingSent === true || this.neverConnected;
  }

  /** There was no connection: nothing of the request can have reached anybody. */
  get neverConnected(): boolean {
    const { syscall } = (this.cause ?? {}) as NodeJS.ErrnoException;
    return syscall === "connect" || syscall === "getaddrinfo";
  }
}

// Shorter than the 2 s after which gunicorn closes an idle connection without a word, so that we are the first to let go.
export const IDLE_CONNECTION_MS = 1500;
export const MAX_IDLE_CONNECTIONS = 256;

export function originOf(options: UpstreamOptions): string {
  return `${schemeOf(options)}://${authorityOf(options)}`;
}

export function schemeOf({ wire }: UpstreamOptions): "http" | "https" {
  return wire === undefined || wire.kind === "h2c" ? "http" : "https";
}

export function authorityOf({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${hostInUrl(host)}:${port}`;
}

const DEFAULT_PORT = { http: 80, https: 443 } as const;

/** As it stands in `Host` and `:authority`, without the port that goes without saying (RFC 9110 4.2.3), as other clients write it. */
export function hostHeaderOf(options: UpstreamOptions): string {
  return options.port === DEFAULT_PORT[schemeOf(options)] ? hostInUrl(options.host) : authorityOf(options);
}

const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const TARGET = /^\/[\x21-\x7e]*$/;

/**
 * Path and query as they are written into a request. Whoever has made the request saw to it that they can be: this is for
 * who forgot.
 *
 * @throws {CallError} InvalidArgument, where they or the method would make another request of it, or a second one.
 */
export function requestTargetOf({ method, path, query }: RequestMessage): string {
  const target = query === undefined ? path : `${path}?${query}`;
  if (METHOD.test(method) && TARGET.test(target)) return target;
  const what = METHOD.test(method) ? "the path or the query" : "the method";
  throw new CallError("InvalidArgument", `${what} has a character that cannot stand in a request`);
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
export function explainFailure(origin: string, request: RequestMessage, error: unknown, nothingSent = false): unknown {
  // Not the origin's doing: the caller has gone, or the request's own body failed while it was sent.
  if (request.signal.aborted) return abortReason(request.signal);
  if (error instanceof CallError) return error;
  const { kind, reason } = diagnose(error as NodeJS.ErrnoException);
  return new UpstreamError(kind, `${origin}: ${reason}`, { cause: error, nothingSent });
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
  ERR_HTTP2_ERROR: "the answer broke the rules of HTTP/2",
  ERR_HTTP2_SESSION_ERROR: "the connection was ended with an error",
  HPE_HEADER_OVERFLOW: "the answer's headers are too large",
};

const BROKEN = new Set(["ECONNRESET", "EPIPE", "ETIMEDOUT", "ERR_HTTP2_ERROR", "ERR_HTTP2_SESSION_ERROR"]);
// OpenSSL's words for what is no TLS at all.
const NOT_TLS = new Set(["wrong version number", "packet length too long", "http request"]);
// The alert of a server that has none of the protocols it was offered (RFC 7301 3.2).
const NO_SUCH_PROTOCOL = /\bno application protocol$/;
const TLS_CODE = /^(?:ERR_SSL_|EPROTO$)/;
// Node's names for what can be wrong with a certificate (X509_V_ERR_*).
const CERTIFICATE_CODE =
  /^(?:CERT_|CRL_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_|HOSTNAME_|ERROR_IN_CERT|ERR_TLS_CERT_)/;

function diagnose(error: NodeJS.ErrnoException): { readonly kind: FailureKind; readonly reason: string } {
  const { code = "", message } = error;
  if (error instanceof ForeignAnswer) return { kind: "foreign", reason: message };
  if (TLS_CODE.test(code)) {
    const words = tlsWords(error);
    if (NOT_TLS.has(words)) return { kind: "foreign", reason: "the answer is not in TLS" };
    if (NO_SUCH_PROTOCOL.test(words)) return { kind: "foreign", reason: "its TLS is for another protocol (ALPN)" };
    return { kind: "broken", reason: `TLS failed: ${words}` };
  }
  if (CERTIFICATE_CODE.test(code)) return { kind: "untrusted", reason: `its certificate is refused: ${message}` };
  return { kind: BROKEN.has(code) ? "broken" : "other", reason: REASONS[code] ?? message };
}

// `80..:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../deps/openssl/..`
const OPENSSL_LINE = /:error:[0-9A-F]+:[^:]*:[^:]*:([^:]+):/;

/** OpenSSL's reason without the rest of its line, or what Node's code for it says. */
function tlsWords({ code = "", message }: NodeJS.ErrnoException): string {
  return (
    OPENSSL_LINE.exec(message)?.[1] ??
    code
      .replace(/^ERR_SSL_/, "")
      .toLowerCase()
      .replaceAll("_", " ")
  );
}
