import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { discard } from "../../core/body.ts";
import { abortReason, type CallSignal } from "../../core/call-signal.ts";
import { CallError } from "../../core/errors.ts";
import { GRPC_CODE } from "../../core/grpc-code.ts";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import { headerValue, type RawHeaders } from "../../core/raw-headers.ts";
import { StreamReset } from "../upstream/http2-call.ts";
import { type Upstream, UpstreamError } from "../upstream/upstream.ts";
import { statusOfForeign, statusOfTrailers } from "./answer-status.ts";
import { ACCEPTED_ENCODINGS } from "./compression.ts";
import { frameOf } from "./message-frames.ts";
import { customMetadata } from "./metadata.ts";
import { readMessages } from "./read-messages.ts";
import { GrpcError, grpcError } from "./status.ts";

export interface UnaryOptions {
  /** As it goes on the wire: names in lower case, `-bin` values in base64. */
  readonly metadata?: readonly string[];
  /** Ends the call, also where its deadline has passed: whoever set that watches it. */
  readonly signal: CallSignal;
  /** In milliseconds of the monotonic clock; undefined for none. The callee is told of it. */
  readonly deadline?: number | undefined;
}

export interface UnaryAnswer<O> {
  readonly message: O;
  /** Metadata before and behind the message, without what is about the call itself. */
  readonly headers: RawHeaders;
  readonly trailers: RawHeaders;
}

/** A call that has ended with a status other than OK, and the metadata that came with it. */
export class CallEnded extends GrpcError {
  readonly headers: RawHeaders;
  readonly trailers: RawHeaders;

  constructor(status: GrpcError["status"], headers: RawHeaders, trailers: RawHeaders) {
    super(status);
    this.headers = headers;
    this.trailers = trailers;
  }
}

/** Calls methods that have one message each way, over an upstream of HTTP/2. */
export class GrpcClient {
  readonly #upstream: Upstream;
  readonly #maxMessageBytes: number;

  /** @param maxMessageBytes of an answer. */
  constructor(upstream: Upstream, maxMessageBytes: number) {
    this.#upstream = upstream;
    this.#maxMessageBytes = maxMessageBytes;
  }

  /**
   * @throws {GrpcError} where the call has ended otherwise than OK: a {@link CallEnded} where the callee has said so.
   * @throws {UpstreamError} where the callee could not be reached, or broke off before its answer.
   * @throws {CallError} of an upstream that has rules, which kept the call from being made.
   * @throws the signal's reason when it fires first, and nothing says that the call has not been made.
   */
  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    message: MessageInitShape<I>,
    options: UnaryOptions,
  ): Promise<UnaryAnswer<MessageShape<O>>> {
    try {
      const body = frameOf(toBinary(method.input, create(method.input, message)));
      const answer = await this.#exchange(requestOf(method, body, options));
      return { ...answer, message: decode(method.output, answer.message) };
    } catch (error) {
      const wasKept = error instanceof CallError && error.nothingSent;
      if (options.signal.aborted && !wasKept) throw abortReason(options.signal);
      throw explained(this.#upstream.origin, error);
    }
  }

  async #exchange(request: RequestMessage): Promise<UnaryAnswer<Uint8Array>> {
    const response = await this.#upstream.send(request);
    const foreign = statusOfForeign(response);
    if (foreign !== undefined) {
      discard(response.body);
      throw new CallEnded(foreign, [], []);
    }
    const messages = await this.#messagesOf(response);
    const trailers = response.trailers?.() ?? [];
    const status = statusOfTrailers(trailers);
    // A head that is the whole answer is its trailers.
    const headers = response.body === undefined ? [] : customMetadata(response.headers);
    const custom = customMetadata(trailers);
    if (status.code !== GRPC_CODE.OK) throw new CallEnded(status, headers, custom);
    const [message] = messages;
    if (message === undefined) throw grpcError("INTERNAL", "the answer ended without a message");
    return { message, headers, trailers: custom };
  }

  /** @throws {GrpcError} for what is no message, too large, or one too many. */
  async #messagesOf({ headers, body }: ResponseMessage): Promise<Uint8Array[]> {
    const messages: Uint8Array[] = [];
    const encoding = headerValue(headers, "grpc-encoding");
    for await (const message of readMessages(body, encoding, this.#maxMessageBytes)) {
      messages.push(message);
      if (messages.length > 1) throw grpcError("INTERNAL", "the answer to a unary call has more than one message");
    }
    return messages;
  }
}

function requestOf(
  { parent, name }: DescMethodUnary,
  body: Buffer,
  { metadata = [], signal, deadline }: UnaryOptions,
): RequestMessage {
  const headers = ["content-type", "application/grpc", "user-agent", "outrigger", ...metadata];
  headers.push("grpc-accept-encoding", ACCEPTED_ENCODINGS);
  const request: RequestMessage = {
    method: "POST",
    path: `/${parent.typeName}/${name}`,
    query: undefined,
    headers,
    body,
    contentLength: undefined,
    signal,
    grpc: true,
  };
  return deadline === undefined ? request : { ...request, deadline };
}

function decode<O extends DescMessage>(schema: O, message: Uint8Array): MessageShape<O> {
  try {
    return fromBinary(schema, message);
  } catch (cause) {
    const reason = `the answer is no ${schema.typeName}: ${(cause as Error).message}`;
    throw grpcError("INTERNAL", reason, { cause });
  }
}

/** What a call fails with that was broken off: a reset has a meaning in gRPC, and a lost connection is one. */
function explained(origin: string, error: unknown): unknown {
  if (error instanceof GrpcError || error instanceof CallError) return error;
  const reset = error instanceof UpstreamError ? error.cause : error;
  if (reset instanceof StreamReset) return grpcError(reset.grpcCode, reset.message, { cause: error });
  if (error instanceof UpstreamError || !(error instanceof Error)) return error;
  return new UpstreamError("broken", `${origin}: the connection broke within the answer`, { cause: error });
}
