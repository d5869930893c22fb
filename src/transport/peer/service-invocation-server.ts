import { Readable } from "node:stream";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { CallError, messageOf } from "../../core/errors.ts";
import { GRPC_CODE } from "../../core/grpc-code.ts";
import type { Body, RequestMessage, ResponseMessage } from "../../core/message.ts";
import { headerValue, type RawHeaders } from "../../core/raw-headers.ts";
import {
  type InternalInvokeRequest,
  InternalInvokeRequestSchema,
  type InternalInvokeRequestStream,
  InternalInvokeRequestStreamSchema,
  InternalInvokeResponseSchema,
  InternalInvokeResponseStreamSchema,
  ServiceInvocation,
} from "../../gen/dapr/proto/internals/v1/service_invocation_pb.ts";
import type { GrpcPortParts } from "../grpc/dispatch.ts";
import { statusOfFailed } from "../grpc/error-status.ts";
import type { GrpcCall } from "../grpc/grpc-call.ts";
import { frameOf } from "../grpc/message-frames.ts";
import type { GrpcHandler, GrpcService } from "../grpc/service.ts";
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
import { TARGET_HEADER } from "./peer-wire.ts";
import { PulledBody } from "./pulled-body.ts";
import { destinationIn, internalResponseOf, type RequestHead, requestIn } from "./service-invocation-messages.ts";

/** daprd's calls between sidecars (A5): a call for the app comes in its messages, and its answer goes back in them. */
export class ServiceInvocationServer implements GrpcService {
  readonly name = ServiceInvocation.typeName;
  readonly methods: ReadonlyMap<string, GrpcHandler>;
  readonly #parts: GrpcPortParts;
  readonly #reception: PeerReception;

  constructor(parts: GrpcPortParts, reception: PeerReception) {
    this.#parts = parts;
    this.#reception = reception;
    this.methods = new Map([
      [CALL_LOCAL, this.#answering((call) => this.#callLocal(call))],
      [CALL_LOCAL_STREAM, this.#answering((call) => this.#callLocalStream(call))],
    ]);
  }

  /** Errors are proved, too. */
  #answering(handle: (call: GrpcCall) => Promise<void>): GrpcHandler {
    return async ({ call }) => {
      try {
        await handle(call);
      } catch (error) {
        if (call.isAnswerable) call.fail(statusOfFailed(call, error, this.#parts.log), this.#proofFor(call));
      }
    };
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
    const answered = await ofTheApp(wholeBody(response.body, this.#parts.maxMessageBytes, call.signal));
    const reply = toBinary(InternalInvokeResponseSchema, internalResponseOf(response, answered));
    call.reply(reply, this.#proofFor(call));
  }

  /** The head of the answer goes with the first piece of its body where that is there, and else ahead of it. */
  async #sendInPieces(call: GrpcCall, response: ResponseMessage): Promise<void> {
    // The status of a gRPC app stands in the head and comes behind the body, which is short.
    const isFromGrpcApp = response.trailers !== undefined;
    const body = await ofTheApp<Body>(
      response.body instanceof Readable && !isFromGrpcApp
        ? gatheredBody(response.body, PAYLOAD_BYTES)
        : wholeBody(response.body, this.#parts.maxMessageBytes, call.signal),
    );
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

  /** daprd does not look whom a call is for. @throws {CallError} Unavailable, which a daprd tries again. */
  #refuseStranger({ metadata }: GrpcCall, internal: InternalInvokeRequest): void {
    const target = headerValue(metadata, TARGET_HEADER);
    const wanted = destinationIn(internal);
    if (target !== undefined || wanted !== undefined) this.#reception.refuseStranger(target, wanted);
  }

  #proofFor({ metadata }: GrpcCall): readonly string[] {
    return this.#reception.proofFor(headerValue(metadata, TARGET_HEADER));
  }
}

const { name: CALL_LOCAL } = ServiceInvocation.method.callLocal;
const { name: CALL_LOCAL_STREAM } = ServiceInvocation.method.callLocalStream;

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

/** @throws {CallError} Internal, where the app breaks off its answer; what says more than that goes on. */
async function ofTheApp<T>(answered: Promise<T> | T): Promise<T> {
  try {
    return await answered;
  } catch (cause) {
    if (cause instanceof CallError) throw cause;
    throw new CallError("Internal", brokenOff(cause), { cause });
  }
}

function brokenTrailers(error: Error): RawHeaders {
  return statusTrailers({ code: GRPC_CODE.INTERNAL, message: brokenOff(error) });
}

function brokenOff(error: unknown): string {
  return `error invoking app channel: ${messageOf(error)}`;
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
