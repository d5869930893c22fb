import { type AppId, type AppIdentity, type Namespace, qualifiedName } from "../../core/app-id.ts";
import type { CallObserver } from "../../core/call-observer.ts";
import type { Clock } from "../../core/clock.ts";
import { CallError, ERRORS, messageOf } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import { type ResponseMessage, withHeaders, withoutTrailers } from "../../core/message.ts";
import { headerValue } from "../../core/raw-headers.ts";
import { traceIdOf } from "../../core/trace-context.ts";
import { requestHeadersFromPeer } from "../../invocation/forward-headers.ts";
import type { ReceivedCall } from "../../invocation/ports.ts";
import type { Receiver } from "../../invocation/receiver.ts";
import { answer } from "../http/answer.ts";
import { splitRequestTarget } from "../http/api-request.ts";
import type { HttpExchange } from "../http/http-exchange.ts";
import { type HttpCodec, HttpListener } from "../http/http-listener.ts";
import { requestBodyOf } from "../http/request-body.ts";
import { speakGrpc } from "../http/speak-http2.ts";
import type { GrpcPeerServer } from "./grpc-peer-server.ts";
import { ASKS_FOR_PROOF, ERROR_HEADER, NOT_THIS_APP, PROOF_HEADER, TARGET_HEADER } from "./peer-wire.ts";

export interface PeerServerParts {
  readonly self: AppIdentity;
  readonly receiver: Receiver;
  readonly observer: CallObserver;
  readonly clock: Clock;
  readonly codec: HttpCodec;
  readonly readBufferBytes: number;
  /** `--max-body-size`, which is that of one message here. */
  readonly maxMessageBytes: number;
  readonly log: Logger;
}

// A path grows threefold where every byte of it is escaped, and the caller's sidecar adds headers of its own.
const PATH_GROWTH = 3;
const ROOM_FOR_PEER_HEADERS = 16 * 1024;
// The receiver's business, so that it is the same for neighbours.
const NO_LIMIT = Number.POSITIVE_INFINITY;

/** The internal port: takes calls from the sidecars of other processes and hands them to the receiver. */
export class PeerServer {
  readonly listener: HttpListener;
  readonly #parts: PeerServerParts;
  /** As callers name the app, and as those do who want proof. */
  readonly #name: string;
  readonly #nameToProve: string;
  /** Loaded with the first call over HTTP/2. */
  #grpc: Promise<GrpcPeerServer> | undefined;

  constructor(parts: PeerServerParts) {
    this.#parts = parts;
    this.#name = qualifiedName(parts.self);
    this.#nameToProve = this.#name + ASKS_FOR_PROOF;
    this.listener = new HttpListener({
      name: "peer",
      codec: parts.codec,
      readBufferBytes: parts.readBufferBytes * PATH_GROWTH + ROOM_FOR_PEER_HEADERS,
      refusalHeaders: [ERROR_HEADER, "Internal"],
      log: parts.log,
      handle: (exchange) => this.#handle(exchange),
      http2: speakGrpc,
    });
  }

  async #handle(exchange: HttpExchange): Promise<void> {
    if (exchange.sendsTrailers === true) {
      this.#grpc ??= import("./grpc-peer-server.ts").then(({ GrpcPeerServer }) => new GrpcPeerServer(this.#parts));
      await (await this.#grpc).handle(exchange);
    } else await this.#handleLean(exchange);
  }

  async #handleLean(exchange: HttpExchange): Promise<void> {
    const startedAt = this.#parts.clock.monotonic();
    try {
      const target = headerValue(exchange.rawHeaders, TARGET_HEADER);
      const call = await this.#decode(exchange, target);
      if (call === undefined) return;
      const answered = await this.#receive(call);
      this.#report(call, startedAt, answered);
      if (answered instanceof Error) refuse(exchange, codeOf(answered), answered.message);
      else exchange.answer(withoutTrailers(target === this.#nameToProve ? this.#proved(answered) : answered));
    } catch (error) {
      // The body could not be read: the caller has gone.
      if (!exchange.signal.aborted) refuse(exchange, codeOf(error), messageOf(error));
    }
  }

  async #decode(exchange: HttpExchange, target: string | undefined): Promise<ReceivedCall | undefined> {
    const { method, rawHeaders, contentLength, signal } = exchange;
    const place = splitRequestTarget(exchange.target);
    if ((target !== this.#name && target !== this.#nameToProve) || place === undefined) {
      const wanted = target?.replace(ASKS_FOR_PROOF, "") ?? "nobody";
      refuse(exchange, NOT_THIS_APP, `this is the sidecar of ${this.#name}, the call is for ${wanted}`);
      return undefined;
    }
    const body = await requestBodyOf(exchange, NO_LIMIT);
    const headers = requestHeadersFromPeer(rawHeaders);
    const request = { method, path: place.path, query: place.query, headers, body, contentLength, signal };
    const { upgrade } = exchange;
    return {
      caller: callerOf(headers),
      // Only the certificate of mTLS could prove it.
      identity: undefined,
      request: upgrade === undefined ? request : { ...request, upgrade },
    };
  }

  #proved(answered: ResponseMessage): ResponseMessage {
    return withHeaders(answered, [...answered.headers, PROOF_HEADER, this.#name]);
  }

  async #receive(call: ReceivedCall): Promise<ResponseMessage | Error> {
    try {
      return await this.#parts.receiver.receive(call);
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }

  #report(call: ReceivedCall, startedAt: number, answered: ResponseMessage | Error): void {
    const failed = answered instanceof Error;
    this.#parts.observer.callEnded({
      direction: "received",
      caller: call.caller,
      target: this.#parts.self.id,
      method: call.request.method,
      path: call.request.path,
      status: failed ? statusFor(answered) : answered.status,
      durationMs: this.#parts.clock.monotonic() - startedAt,
      traceId: traceIdOf(headerValue(call.request.headers, "traceparent") ?? ""),
      error: failed ? messageOf(answered) : undefined,
    });
  }
}

/** What the calling sidecar says of its app; proved by nothing until there is mTLS. */
function callerOf(headers: readonly string[]): AppIdentity | undefined {
  const id = headerValue(headers, "dapr-caller-app-id");
  const namespace = headerValue(headers, "dapr-caller-namespace");
  return id === undefined || namespace === undefined
    ? undefined
    : { id: id as AppId, namespace: namespace as Namespace };
}

function refuse(exchange: HttpExchange, error: string, message: string): void {
  if (!exchange.isAnswerable) return;
  answer(exchange, 500, { type: "text/plain; charset=utf-8", text: message }, [ERROR_HEADER, error]);
}

/** What the calling sidecar makes of it. */
function statusFor(error: Error): number {
  const isForbidden = codeOf(error) === "PermissionDenied";
  return ERRORS[isForbidden ? "invocationForbidden" : "invocationFailed"].httpStatus;
}

function codeOf(error: unknown): string {
  return error instanceof CallError ? (error.code ?? "Internal") : "Internal";
}
