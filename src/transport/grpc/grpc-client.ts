import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { abortReason, CallAbort, type CallSignal } from "../../core/call-signal.ts";
import type { Clock } from "../../core/clock.ts";
import { GRPC_CODE } from "../../core/grpc-code.ts";
import type { Body, RequestMessage, ResponseMessage } from "../../core/message.ts";
import { headerValue, type RawHeaders } from "../../core/raw-headers.ts";
import { StreamReset } from "../upstream/http2-call.ts";
import { type Upstream, UpstreamError } from "../upstream/upstream.ts";
import { statusOfForeign, statusOfTrailers } from "./answer-status.ts";
import { ACCEPTED_ENCODINGS, decompressed } from "./compression.ts";
import { FrameReader, frameOf } from "./message-frames.ts";
import { customMetadata } from "./metadata.ts";
import { GrpcError, grpcError } from "./status.ts";
import { formatTimeout } from "./timeout.ts";

export interface UnaryOptions {
  /** As it goes on the wire: names in lower case, `-bin` values in base64. */
  readonly metadata?: readonly string[];
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
  readonly #clock: Clock;

  /** @param maxMessageBytes of an answer. */
  constructor(upstream: Upstream, maxMessageBytes: number, clock: Clock) {
    this.#upstream = upstream;
    this.#maxMessageBytes = maxMessageBytes;
    this.#clock = clock;
  }

  /**
   * @throws {GrpcError} where the call has ended otherwise than OK: a {@link CallEnded} where the callee has said so,
   *   DEADLINE_EXCEEDED where that passed.
   * @throws {UpstreamError} where the callee could not be reached, or broke off before its answer.
   * @throws the signal's reason when it fires first.
   */
  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    message: MessageInitShape<I>,
    options: UnaryOptions,
  ): Promise<UnaryAnswer<MessageShape<O>>> {
    const limited = new Limit(options.signal, options.deadline, this.#clock);
    try {
      const body = frameOf(toBinary(method.input, create(method.input, message)));
      const answer = await this.#exchange(requestOf(method, body, options, limited));
      return { ...answer, message: decode(method.output, answer.message) };
    } catch (error) {
      throw limited.signal.aborted ? limited.signal.reason : explained(this.#upstream.origin, error);
    } finally {
      limited.lift();
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
    const reader = new FrameReader(this.#maxMessageBytes);
    const messages: Uint8Array[] = [];
    for await (const piece of piecesOf(body)) {
      for (const { isCompressed, message } of reader.read(piece)) {
        const encoding = headerValue(headers, "grpc-encoding");
        messages.push(isCompressed ? await decompressed(message, encoding, this.#maxMessageBytes) : message);
        if (messages.length > 1) throw grpcError("INTERNAL", "the answer to a unary call has more than one message");
      }
    }
    if (!reader.isBetweenMessages) throw grpcError("INTERNAL", "the answer ended within a message");
    return messages;
  }
}

/** The signal of a call that may have a deadline as well. */
class Limit {
  readonly signal = new CallAbort();
  readonly #outer: CallSignal;
  readonly #over = new CallAbort();
  readonly #left = {
    handleEvent: (): void => {
      this.#leave();
    },
  };
  /** Undefined without a deadline. */
  readonly timeoutMs: number | undefined;

  constructor(outer: CallSignal, deadline: number | undefined, clock: Clock) {
    this.#outer = outer;
    outer.addEventListener("abort", this.#left);
    if (outer.aborted) this.#leave();
    if (deadline === undefined) return;
    const late = (): void => {
      this.signal.abort(grpcError("DEADLINE_EXCEEDED", "context deadline exceeded"));
    };
    this.timeoutMs = Math.max(0, deadline - clock.monotonic());
    void clock.sleep(this.timeoutMs, this.#over).then(late, () => undefined);
  }

  /** The call has ended. */
  lift(): void {
    this.#outer.removeEventListener("abort", this.#left);
    this.#over.abort(new Error("the call has ended"));
  }

  #leave(): void {
    this.signal.abort(abortReason(this.#outer));
  }
}

function requestOf(
  { parent, name }: DescMethodUnary,
  body: Buffer,
  { metadata = [] }: UnaryOptions,
  limit: Limit,
): RequestMessage {
  const headers = ["content-type", "application/grpc", "user-agent", "outrigger", ...metadata];
  headers.push("grpc-accept-encoding", ACCEPTED_ENCODINGS);
  const { timeoutMs, signal } = limit;
  if (timeoutMs !== undefined) headers.push("grpc-timeout", formatTimeout(timeoutMs));
  return {
    method: "POST",
    path: `/${parent.typeName}/${name}`,
    query: undefined,
    headers,
    body,
    contentLength: undefined,
    signal,
    grpc: true,
  };
}

function decode<O extends DescMessage>(schema: O, message: Uint8Array): MessageShape<O> {
  try {
    return fromBinary(schema, message);
  } catch (cause) {
    const reason = `the answer is no ${schema.typeName}: ${(cause as Error).message}`;
    throw grpcError("INTERNAL", reason, { cause });
  }
}

async function* piecesOf(body: Body): AsyncGenerator<Uint8Array> {
  if (body instanceof Uint8Array) yield body;
  else if (body !== undefined) yield* body as AsyncIterable<Uint8Array>;
}

function discard(body: Body): void {
  if (body !== undefined && !(body instanceof Uint8Array)) body.destroy();
}

/** What a call fails with that was broken off: a reset has a meaning in gRPC, and a lost connection is one. */
function explained(origin: string, error: unknown): unknown {
  if (error instanceof GrpcError) return error;
  const reset = error instanceof UpstreamError ? error.cause : error;
  if (reset instanceof StreamReset) return grpcError(reset.grpcCode, reset.message, { cause: error });
  if (error instanceof UpstreamError || !(error instanceof Error)) return error;
  return new UpstreamError("broken", `${origin}: the connection broke within the answer`, { cause: error });
}
