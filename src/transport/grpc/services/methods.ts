import {
  create,
  type DescMessage,
  type DescMethodBiDiStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { messageOf } from "../../../core/errors.ts";
import { traceBinOf } from "../../../core/grpc-trace-bin.ts";
import type { Logger } from "../../../core/logger.ts";
import type { RawHeaders } from "../../../core/raw-headers.ts";
import type { TraceContext } from "../../../core/trace-context.ts";
import { statusOfFailed } from "../error-status.ts";
import type { MessageStream } from "../message-stream.ts";
import type { GrpcHandler, GrpcRequest } from "../service.ts";
import { grpcError } from "../status.ts";

/** Typed methods of a service: decode, handle, encode. What a handler throws is the status of the call. */

export type Method = readonly [name: string, handler: GrpcHandler];

/** One message each way. As in daprd, an error comes behind a head too. */
export function unary<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  log: Logger,
  handle: (message: MessageShape<I>, request: GrpcRequest) => MessageInitShape<O> | Promise<MessageInitShape<O>>,
): Method {
  return [
    method.name,
    async (request) => {
      const { call, trace } = request;
      const headers = traceMetadata(trace);
      try {
        const message = decode(method.input, await call.message());
        call.reply(encode(method.output, await handle(message, request)), headers);
      } catch (error) {
        if (call.isAnswerable) call.fail(statusOfFailed(call, error, log), headers);
      }
    },
  ];
}

/** @param handle is done when there is no more to send; `send` resolves once more may be, and throws where the caller left. */
export function serverStreaming<I extends DescMessage, O extends DescMessage>(
  method: DescMethodServerStreaming<I, O>,
  log: Logger,
  handle: (message: MessageShape<I>, send: Send<O>, request: GrpcRequest) => Promise<void>,
): Method {
  return [
    method.name,
    async (request) => {
      const message = decode(method.input, await request.call.message());
      await streamed(method.output, log, request, (send) => handle(message, send, request));
    },
  ];
}

/** @param answer gives the answer to each message, in their order. */
export function answerEach<I extends DescMessage, O extends DescMessage>(
  method: DescMethodBiDiStreaming<I, O>,
  log: Logger,
  answerer: () => (message: MessageShape<I>) => MessageInitShape<O>,
): Method {
  return [
    method.name,
    async (request) => {
      const answer = answerer();
      await streamed(method.output, log, request, async (send) => {
        for await (const bytes of request.call.messages()) await send(answer(decode(method.input, bytes)));
      });
    },
  ];
}

export type Send<O extends DescMessage> = (message: MessageInitShape<O>) => Promise<void>;

async function streamed<O extends DescMessage>(
  output: O,
  log: Logger,
  { call, trace }: GrpcRequest,
  work: (send: Send<O>) => Promise<void>,
): Promise<void> {
  const stream: MessageStream = call.stream(traceMetadata(trace));
  try {
    await work((message) => stream.send(encode(output, message)));
    stream.finish();
  } catch (error) {
    // Nobody is left to be told of a caller that has left.
    if (!stream.destroyed) stream.finish(statusOfFailed(call, error, log));
  }
}

/** What every answer says of the trace, in gRPC's own form. */
export function traceMetadata({ answeredTraceparent }: TraceContext): RawHeaders {
  return ["grpc-trace-bin", traceBinOf(answeredTraceparent)];
}

/** @throws {GrpcError} INTERNAL, as grpc-go says it. */
export function decode<M extends DescMessage>(schema: M, bytes: Uint8Array): MessageShape<M> {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    throw grpcError("INTERNAL", `grpc: error unmarshalling request: ${messageOf(cause)}`, { cause });
  }
}

export function encode<M extends DescMessage>(schema: M, message: MessageInitShape<M>): Uint8Array {
  return toBinary(schema, create(schema, message));
}
