import { Readable } from "node:stream";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { AppInstance } from "../../components/contract/name-resolver.ts";
import { type AppIdentity, qualifiedName } from "../../core/app-id.ts";
import { discard } from "../../core/body.ts";
import { abortReason } from "../../core/call-signal.ts";
import { CallError, messageOf } from "../../core/errors.ts";
import { GRPC_CODE, grpcCodeIn, statusOfNumber } from "../../core/grpc-code.ts";
import type { Body, RequestMessage, ResponseMessage } from "../../core/message.ts";
import { headerValue, type RawHeaders } from "../../core/raw-headers.ts";
import {
  InternalInvokeRequestSchema,
  InternalInvokeRequestStreamSchema,
  InternalInvokeResponseSchema,
  type InternalInvokeResponseStream,
  InternalInvokeResponseStreamSchema,
  ServiceInvocation,
} from "../../gen/dapr/proto/internals/v1/service_invocation_pb.ts";
import { statusOfTrailers } from "../grpc/answer-status.ts";
import { isGrpcType } from "../grpc/is-grpc.ts";
import { frameOf } from "../grpc/message-frames.ts";
import { readMessages } from "../grpc/read-messages.ts";
import { GrpcError } from "../grpc/status.ts";
import { gatheredBody } from "../http/gathered-body.ts";
import type { Upstream } from "../upstream/upstream.ts";
import {
  type MessageOfPiece,
  MessagesOfBody,
  messagesOf,
  PAYLOAD_BYTES,
  type PayloadMessage,
  piecesOf,
} from "./payloads.ts";
import { ASKS_FOR_PROOF, PROOF_HEADER, TARGET_HEADER } from "./peer-wire.ts";
import { PulledBody } from "./pulled-body.ts";
import { callMetadataOf, internalRequestOf, responseIn } from "./service-invocation-messages.ts";

// Of one message: a daprd cuts answers into 2 KB, but one that knows CallLocal alone sends them whole.
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

/** What answers is no server of gRPC. */
export class NoGrpc extends Error {
  override readonly name = "NoGrpc";
}

export interface PeerAnswer {
  /** Who says that it has answered, where it was asked to prove that it is an Outrigger and is one. */
  readonly provedAs: string | undefined;
  /** What has come of the call: an answer of the app, or the receiver's error. */
  readonly outcome: ResponseMessage | CallError;
}

/** Calls apps behind a daprd, or behind an Outrigger that is not known to be one, over ServiceInvocation (A5). */
export class ServiceInvocationClient {
  /**
   * @throws {UpstreamError} where the peer could not be reached, or broke off before its answer began.
   * @throws {NoGrpc}
   * @throws {CallError} where the request's own body broke.
   * @throws the signal's reason where it fired first.
   */
  async call(upstream: Upstream, instance: AppInstance, request: RequestMessage): Promise<PeerAnswer> {
    const answered = await this.#callLocalStream(upstream, instance, request);
    const { outcome } = answered;
    const isUnknown = outcome instanceof CallError && outcome.code === "Unimplemented";
    const { body } = request;
    if (!isUnknown || body instanceof Readable) return answered;
    return this.#callLocal(upstream, instance, request, body);
  }

  async #callLocalStream(upstream: Upstream, instance: AppInstance, request: RequestMessage): Promise<PeerAnswer> {
    const internal = internalRequestOf(request, instance.app);
    const toMessage: MessageOfPiece = (payload, isFirst) =>
      frameOf(
        toBinary(
          InternalInvokeRequestStreamSchema,
          create(InternalInvokeRequestStreamSchema, {
            ...(isFirst ? { request: internal } : {}),
            ...(payload === undefined ? {} : { payload }),
          }),
        ),
      );
    const { body } = request;
    const messages = body instanceof Readable ? new MessagesOfBody(body, toMessage) : messagesOf(body, toMessage);
    const answer = await this.#send("CallLocalStream", upstream, instance, request, messages);
    return {
      provedAs: headerValue(answer.headers, PROOF_HEADER),
      outcome: await outcomeOf(request, instance.app, answer, readStreamed),
    };
  }

  async #callLocal(
    upstream: Upstream,
    instance: AppInstance,
    request: RequestMessage,
    body: Uint8Array | undefined,
  ): Promise<PeerAnswer> {
    const internal = internalRequestOf(request, instance.app, body ?? new Uint8Array());
    const message = frameOf(toBinary(InternalInvokeRequestSchema, internal));
    const answer = await this.#send("CallLocal", upstream, instance, request, message);
    return {
      provedAs: headerValue(answer.headers, PROOF_HEADER),
      outcome: await outcomeOf(request, instance.app, answer, readWhole),
    };
  }

  /** @throws {NoGrpc} and as {@link call}. */
  async #send(
    method: string,
    upstream: Upstream,
    { app, wire }: AppInstance,
    request: RequestMessage,
    body: Body,
  ): Promise<ResponseMessage> {
    const { signal, deadline } = request;
    const headers: RawHeaders = ["content-type", "application/grpc", "user-agent", "outrigger"];
    headers.push(...callMetadataOf(request));
    if (wire === "unproven") headers.push(TARGET_HEADER, qualifiedName(app) + ASKS_FOR_PROOF);
    const sent: RequestMessage = {
      method: "POST",
      path: `/${ServiceInvocation.typeName}/${method}`,
      query: undefined,
      headers,
      body,
      contentLength: undefined,
      signal,
      grpc: true,
    };
    const answer = await upstream.send(deadline === undefined ? sent : { ...sent, deadline });
    const type = headerValue(answer.headers, "content-type") ?? "";
    if (answer.status === 200 && isGrpcType(type)) return answer;
    discard(answer.body);
    throw new NoGrpc(`HTTP status ${answer.status}`);
  }
}

/** Reads an answer as far as its head. Undefined where the call ended before any message came. */
type ReadAnswer = (
  messages: AsyncGenerator<Uint8Array>,
  answer: ResponseMessage,
  source: Readable,
  callee: AppIdentity,
) => Promise<ResponseMessage | undefined>;

async function outcomeOf(
  { signal }: RequestMessage,
  callee: AppIdentity,
  answer: ResponseMessage,
  read: ReadAnswer,
): Promise<PeerAnswer["outcome"]> {
  const source = answer.body instanceof Readable ? answer.body : Readable.from([]);
  const messages = readMessages(source, headerValue(answer.headers, "grpc-encoding"), MAX_MESSAGE_BYTES);
  try {
    return (await read(messages, answer, source, callee)) ?? errorIn(answer) ?? missingHead();
  } catch (error) {
    source.destroy();
    if (signal.aborted) throw abortReason(signal);
    return callErrorOf(error);
  }
}

const readStreamed: ReadAnswer = async (messages, answer, source, callee) => {
  const decoded = decodedIn(messages);
  const first = await decoded.next();
  if (first.done === true) return undefined;
  const { response, payload } = first.value;
  if (response?.status === undefined) throw missingHead();
  const head = responseIn(response, callee);
  const body = new PulledBody(untilEnd(piecesOf(payload, payloadsIn(decoded)), answer), source);
  try {
    const gathered = await gatheredBody(body, PAYLOAD_BYTES);
    return { ...head, body: gathered instanceof Readable || gathered.length > 0 ? gathered : undefined };
  } catch (error) {
    // The app has done its work: whatever the code says, the call is not made again.
    throw new CallError("Internal", `the answer broke off: ${textOf(error)}`, { cause: error });
  }
};

const readWhole: ReadAnswer = async (messages, answer, _source, callee) => {
  const first = await messages.next();
  if (first.done === true) return undefined;
  const response = decoding(() => fromBinary(InternalInvokeResponseSchema, first.value));
  const further = await messages.next();
  const error = further.done === true ? errorIn(answer) : missingHead();
  if (error !== undefined) throw error;
  return { ...responseIn(response, callee), body: response.message?.data?.value };
};

async function* decodedIn(messages: AsyncIterable<Uint8Array>): AsyncGenerator<InternalInvokeResponseStream> {
  for await (const message of messages) yield decoding(() => fromBinary(InternalInvokeResponseStreamSchema, message));
}

async function* payloadsIn(messages: AsyncIterable<InternalInvokeResponseStream>): AsyncGenerator<PayloadMessage> {
  for await (const { response, payload } of messages) yield { head: response, payload };
}

/** Where the call ends with an error, so does the body. */
async function* untilEnd(pieces: AsyncIterable<Uint8Array>, answer: ResponseMessage): AsyncGenerator<Uint8Array> {
  yield* pieces;
  const error = errorIn(answer);
  if (error !== undefined) throw error;
}

/** What the call has ended with, once it has. */
function errorIn({ trailers }: ResponseMessage): CallError | undefined {
  const { code, message } = statusOfTrailers(trailers?.() ?? []);
  return code === GRPC_CODE.OK ? undefined : new CallError(statusOfNumber(code), message);
}

function missingHead(): CallError {
  return new CallError("Internal", "response does not contain the required fields in the leading chunk");
}

/** @throws {CallError} Internal, as grpc-go says it. */
function decoding<T>(decode: () => T): T {
  try {
    return decode();
  } catch (cause) {
    throw new CallError("Internal", `grpc: failed to unmarshal the received message: ${messageOf(cause)}`, { cause });
  }
}

function callErrorOf(error: unknown): CallError {
  if (error instanceof CallError) return error;
  if (error instanceof GrpcError) return new CallError(statusOfNumber(error.status.code), error.message);
  const code = statusOfNumber(grpcCodeIn(error) ?? GRPC_CODE.UNAVAILABLE);
  return new CallError(code, `the sidecar broke off: ${messageOf(error)}`, { cause: error });
}

function textOf(error: unknown): string {
  return error instanceof CallError ? error.message : messageOf(error);
}
