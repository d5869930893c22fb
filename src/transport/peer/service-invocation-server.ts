import { Readable } from "node:stream";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { AppIdentity } from "../../core/app-id.ts";
import type { Clock } from "../../core/clock.ts";
import { CallError, messageOf } from "../../core/errors.ts";
import { GRPC_CODE } from "../../core/grpc-code.ts";
import type { Logger } from "../../core/logger.ts";
import type { Body, RequestMessage, ResponseMessage } from "../../core/message.ts";
import { headerValue, type RawHeaders } from "../../core/raw-headers.ts";
import {
  type InternalInvokeRequest,
  InternalInvokeRequestSchema,
  type InternalInvokeRequestStream,
  InternalInvokeRequestStreamSchema,
  InternalInvokeResponseSchema,
  InternalInvokeResponseStreamSchema,
} from "../../gen/dapr/proto/internals/v1/service_invocation_pb.ts";
import { statusOf } from "../grpc/error-status.ts";
import type { GrpcCall } from "../grpc/grpc-call.ts";
import { frameOf } from "../grpc/message-frames.ts";
import { grpcError, OK, statusTrailers } from "../grpc/status.ts";
import { gatheredBody } from "../http/gathered-body.ts";
import { wholeBody } from "../whole-body.ts";
import {
  type MessageOfPiece,
  MessagesOfBody,
  messagesOf,
  PAYLOAD_BYTES,
  type PayloadMessage,
  piecesOf,
} from "./payloads.ts";
import type { PeerReception } from "./peer-reception.ts";
import { ASKS_FOR_PROOF, PROOF_HEADER, TARGET_HEADER } from "./peer-wire.ts";
import { PulledBody } from "./pulled-body.ts";
import { destinationIn, internalResponseOf, type RequestHead, requestIn } from "./service-invocation-messages.ts";

export const SERVICE = "dapr.proto.internals.v1.ServiceInvocation";

export interface ServiceInvocationServerParts {
  readonly self: AppIdentity;
  readonly clock: Clock;
  /** `--max-body-size`, of one message. */
  readonly maxMessageBytes: number;
  readonly log: Logger;
}

/** daprd's calls between sidecars (A5): a call for the app comes in its messages, and its answer goes back in them. */
export class ServiceInvocationServer {
  readonly #parts: ServiceInvocationServerParts;
  readonly #reception: PeerReception;

  constructor(parts: ServiceInvocationServerParts, reception: PeerReception) {
    this.#parts = parts;
    this.#reception = reception;
  }

  /** Answers the call, with a status where it fails. @param method the rpc's name. */
  async handle(call: GrpcCall, method: string): Promise<void> {
    try {
      if (method === "CallLocalStream") await this.#callLocalStream(call);
      else if (method === "CallLocal") await this.#callLocal(call);
      else throw grpcError("UNIMPLEMENTED", `unknown method ${method} for service ${SERVICE}`);
    } catch (error) {
      if (call.isAnswerable) call.fail(statusOf(error, this.#parts.log), this.#proofFor(call));
    }
  }

  async #callLocalStream(call: GrpcCall): Promise<void> {
    const startedAt = this.#parts.clock.monotonic();
    const source = call.body;
    const messages = decodedIn(call.messagesIn(source));
    const first = await messages.next();
    const internal = first.done === true ? undefined : first.value.request;
    if (first.done === true || internal?.message === undefined) throw missingHead();
    this.#refuseStranger(call, internal);
    const head = requestIn(internal, call.metadata);
    const body = await requestBodyOf(head, piecesOf(first.value.payload, payloadsIn(messages)), source);
    const response = await this.#reception.receive(requestOf(head, body, call), startedAt);
    await this.#sendInPieces(call, response);
  }

  async #callLocal(call: GrpcCall): Promise<void> {
    const startedAt = this.#parts.clock.monotonic();
    const message = await call.message();
    const internal = decoding(() => fromBinary(InternalInvokeRequestSchema, message));
    if (internal.message === undefined) throw missingHead();
    this.#refuseStranger(call, internal);
    const data = internal.message.data?.value;
    const body = data === undefined || data.byteLength === 0 ? undefined : data;
    const head = requestIn(internal, call.metadata, body?.byteLength ?? 0);
    const response = await this.#reception.receive(requestOf(head, body, call), startedAt);
    const answered = await wholeBody(response.body, this.#parts.maxMessageBytes, call.signal);
    const reply = toBinary(InternalInvokeResponseSchema, internalResponseOf(response, answered));
    call.reply(reply, this.#proofFor(call));
  }

  /** The head of the answer goes with the first piece of its body where that is there, and else ahead of it. */
  async #sendInPieces(call: GrpcCall, response: ResponseMessage): Promise<void> {
    // The status of a gRPC app stands in the head and comes behind the body, which is short.
    const isFromGrpcApp = response.trailers !== undefined;
    const body =
      response.body instanceof Readable && !isFromGrpcApp
        ? await gatheredBody(response.body, PAYLOAD_BYTES)
        : await wholeBody(response.body, this.#parts.maxMessageBytes, call.signal);
    const lead = internalResponseOf(response);
    const toMessage: MessageOfPiece = (payload, isFirst) =>
      frameOf(
        toBinary(
          InternalInvokeResponseStreamSchema,
          create(InternalInvokeResponseStreamSchema, {
            ...(isFirst ? { response: lead } : {}),
            ...(payload === undefined ? {} : { payload }),
          }),
        ),
      );
    const headers = ["content-type", "application/grpc", ...this.#proofFor(call)];
    const trailers = { complete: () => statusTrailers(OK), broken: brokenTrailers };
    if (!(body instanceof Readable)) {
      call.relay(headers, messagesOf(body, toMessage), trailers);
      return;
    }
    const messages = new MessagesOfBody(body, toMessage, (body.read() as Buffer | null) ?? undefined);
    messages.once("close", () => body.destroy());
    call.relay(headers, messages, trailers);
  }

  /**
   * daprd does not look whom a call is for. But a port can pass to another process, and whose it was has been looked up a
   * while ago: the caller is to look again.
   *
   * @throws {CallError} Unavailable, which a daprd tries again after it has looked.
   */
  #refuseStranger(call: GrpcCall, internal: InternalInvokeRequest): void {
    const target = headerValue(call.metadata, TARGET_HEADER);
    const wanted = target === undefined ? destinationIn(internal) : target.replace(ASKS_FOR_PROOF, "");
    const isMeant =
      target === undefined ? wanted === undefined || wanted === this.#parts.self.id : this.#reception.isMeant(target);
    if (!isMeant) throw new CallError("Unavailable", this.#reception.notThisApp(wanted ?? "nobody"));
  }

  #proofFor(call: GrpcCall): RawHeaders {
    const asks = this.#reception.isToProve(headerValue(call.metadata, TARGET_HEADER));
    return asks ? [PROOF_HEADER, this.#reception.name] : [];
  }
}

async function* decodedIn(messages: AsyncIterable<Uint8Array>): AsyncGenerator<InternalInvokeRequestStream> {
  for await (const message of messages) yield decoding(() => fromBinary(InternalInvokeRequestStreamSchema, message));
}

async function* payloadsIn(messages: AsyncIterable<InternalInvokeRequestStream>): AsyncGenerator<PayloadMessage> {
  for await (const { request, payload } of messages) yield { head: request, payload };
}

/** @throws {GrpcError} INTERNAL, as grpc-go says it. */
function decoding<T>(decode: () => T): T {
  try {
    return decode();
  } catch (cause) {
    throw grpcError("INTERNAL", `grpc: failed to unmarshal the received message: ${messageOf(cause)}`, { cause });
  }
}

function missingHead(): Error {
  const what = "request does not contain the required fields in the leading chunk";
  return grpcError("INVALID_ARGUMENT", `parsing InternalInvokeRequest error: ${what}`);
}

function brokenTrailers(error: Error): RawHeaders {
  return statusTrailers({ code: GRPC_CODE.INTERNAL, message: `error invoking app channel: ${messageOf(error)}` });
}

// Nothing in the first message tells whether there is a body. Of these, nobody expects one, so that it is waited for.
const USUALLY_EMPTY = new Set(["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"]);

/**
 * Bytes where it is short and there, as on any other wire.
 *
 * @throws {CallError} Internal, where it is not as long as the caller said; what it fails with meanwhile.
 */
async function requestBodyOf(
  { method, contentLength }: RequestHead,
  pieces: AsyncGenerator<Uint8Array>,
  source: Readable,
): Promise<Body> {
  const first = USUALLY_EMPTY.has(method) ? await pieces.next() : undefined;
  const all = first === undefined ? pieces : beginningWith(first, pieces);
  const gathered = await gatheredBody(new PulledBody(all, source), PAYLOAD_BYTES);
  if (gathered instanceof Readable) return gathered;
  const { byteLength } = gathered;
  if (contentLength !== undefined && contentLength !== byteLength) {
    throw new CallError("Internal", `the body has ${byteLength} bytes, and its Content-Length is ${contentLength}`);
  }
  return byteLength === 0 ? undefined : gathered;
}

async function* beginningWith<T>(first: IteratorResult<T>, rest: AsyncGenerator<T>): AsyncGenerator<T> {
  if (first.done !== true) yield first.value;
  yield* rest;
}

function requestOf(head: RequestHead, body: Body, { signal, deadline }: GrpcCall): RequestMessage {
  const request = { ...head, contentLength: body === undefined ? 0 : head.contentLength, body, signal };
  return deadline === undefined ? request : { ...request, deadline };
}
