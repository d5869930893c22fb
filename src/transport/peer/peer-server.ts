import { CallError, messageOf } from "../../core/errors.ts";
import { goQuote } from "../../core/go-json.ts";
import type { Logger } from "../../core/logger.ts";
import { hasNoTrailers, type RequestMessage, type ResponseMessage, withHeaders } from "../../core/message.ts";
import { headerValue } from "../../core/raw-headers.ts";
import { requestHeadersFromPeer } from "../../invocation/forward-headers.ts";
import { parseTimeout } from "../grpc/timeout.ts";
import { answer } from "../http/answer.ts";
import { splitRequestTarget } from "../http/api-request.ts";
import type { HttpAnswer, HttpExchange } from "../http/http-exchange.ts";
import { type HttpCodec, HttpListener } from "../http/http-listener.ts";
import { requestBodyOf } from "../http/request-body.ts";
import { speakGrpc } from "../http/speak-http2.ts";
import type { GrpcPeerServer } from "./grpc-peer-server.ts";
import { errorName, PeerReception, type PeerReceptionParts } from "./peer-reception.ts";
import {
  DATA_TYPE_HEADER,
  ERROR_HEADER,
  escapeDataType,
  HAS_DATA_TYPE,
  HAS_NO_VERB,
  readDataType,
  TARGET_HEADER,
  TIMEOUT_HEADER,
  unsentHeaders,
  writeTrailers,
} from "./peer-wire.ts";

export interface PeerServerParts extends PeerReceptionParts {
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
  readonly #reception: PeerReception;
  /** Loaded with the first call over HTTP/2. */
  #grpc: Promise<GrpcPeerServer> | undefined;

  constructor(parts: PeerServerParts) {
    this.#parts = parts;
    this.#reception = new PeerReception(parts);
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
      this.#grpc ??= import("./grpc-peer-server.ts").then(
        ({ GrpcPeerServer }) => new GrpcPeerServer(this.#parts, this.#reception),
      );
      await (await this.#grpc).handle(exchange);
    } else await this.#handleLean(exchange);
  }

  async #handleLean(exchange: HttpExchange): Promise<void> {
    const startedAt = this.#parts.clock.monotonic();
    try {
      const said = headerValue(exchange.rawHeaders, TARGET_HEADER);
      const hasDataType = said?.endsWith(HAS_DATA_TYPE) === true;
      const asked = hasDataType ? said.slice(0, -HAS_DATA_TYPE.length) : said;
      const hasNoVerb = asked?.endsWith(HAS_NO_VERB) === true;
      const target = hasNoVerb ? asked.slice(0, -HAS_NO_VERB.length) : asked;
      this.#reception.refuseStranger(target, undefined);
      const dataType = hasDataType ? readDataType(exchange.rawHeaders) : undefined;
      const request = await this.#decode(exchange, hasNoVerb ? "NONE" : exchange.method, dataType);
      const answered = await this.#reception.receive(request, startedAt);
      exchange.answer(withTrailersInHead(proved(answered, this.#reception.proofFor(target))));
    } catch (error) {
      // Where the body could not be read, the caller has gone.
      if (!exchange.signal.aborted) refuse(exchange, error);
    }
  }

  /** @throws {CallError} InvalidArgument, for a request target that is no path. */
  async #decode(exchange: HttpExchange, method: string, dataType: string | undefined): Promise<RequestMessage> {
    const { target, rawHeaders, contentLength, signal, upgrade } = exchange;
    const place = splitRequestTarget(target);
    if (place === undefined) throw new CallError("InvalidArgument", `${goQuote(target)} is not the path of a method`);
    const timeout = headerValue(rawHeaders, TIMEOUT_HEADER);
    const deadline = timeout === undefined ? undefined : this.#deadlineOf(timeout);
    const body = await requestBodyOf(exchange, NO_LIMIT);
    const headers = requestHeadersFromPeer(rawHeaders);
    const request = { method, path: place.path, query: place.query, headers, body, contentLength, signal };
    if (upgrade !== undefined) return { ...request, upgrade };
    const timed = deadline === undefined ? request : { ...request, deadline };
    return dataType === undefined ? timed : { ...timed, dataType };
  }

  /** For the app to be told; whoever waits gives up the call by itself. */
  #deadlineOf(timeout: string): number | undefined {
    const ms = parseTimeout(timeout);
    return ms === undefined ? undefined : this.#parts.clock.monotonic() + ms;
  }
}

function proved(answered: ResponseMessage, proof: readonly string[]): ResponseMessage {
  return proof.length === 0 ? answered : withHeaders(answered, [...answered.headers, ...proof]);
}

/** HTTP/1.1 carries none behind a body; what a gRPC app answers here is all there. */
function withTrailersInHead(answered: ResponseMessage): HttpAnswer {
  if (hasNoTrailers(answered)) return answered;
  const { status, statusText, headers, body, trailers, dataType } = answered;
  const said = [...headers, ...writeTrailers(trailers?.() ?? [])];
  if (dataType !== undefined) said.push(DATA_TYPE_HEADER, escapeDataType(dataType));
  return { status, statusText, headers: said, body };
}

function refuse(exchange: HttpExchange, error: unknown): void {
  if (!exchange.isAnswerable) return;
  answer(exchange, 500, { type: "text/plain; charset=utf-8", text: textOf(error) }, [
    ERROR_HEADER,
    errorName(error),
    ...unsentHeaders(error),
  ]);
}

/** Without the words of grpc-go, which the code stands for. */
function textOf(error: unknown): string {
  return error instanceof CallError ? error.message : messageOf(error);
}
