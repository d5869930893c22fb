import type { AppId } from "../core/app-id.ts";
import { messageOf } from "../core/errors.ts";
import { GRPC_CODE, grpcCodeIn } from "../core/grpc-code.ts";
import { metadataWithTraceparent, traceContextOfMetadata } from "../core/grpc-trace-bin.ts";
import type { RequestMessage, ResponseMessage } from "../core/message.ts";
import { traceContextOf, withTraceparent } from "../core/trace-context.ts";
import type { Tracer } from "../core/tracer.ts";
import { whenEnded } from "./grpc-ending.ts";
import type { Neighbour, ReceivedCall } from "./ports.ts";
import { attributesFromHeaders, receivedAttributes, receivedName } from "./span-attributes.ts";

/** The callee's span of a call, the same whatever door the call has come through. */

/** @returns the request as it goes on, under a span that {@link endAnswered} or {@link endFailed} ends. */
export function beginReceived(tracer: Tracer, appId: AppId, request: RequestMessage): RequestMessage {
  const { path, grpc, headers } = request;
  const parent = grpc === true ? traceContextOfMetadata(headers) : traceContextOf(headers);
  const span = tracer.start("server", receivedName(appId, path, grpc), parent);
  if (span.isSampled) span.describe({ ...attributesFromHeaders(headers), ...receivedAttributes(path, grpc) });
  const { traceparent } = span.trace;
  const passedOn =
    grpc === true ? metadataWithTraceparent(headers, traceparent) : withTraceparent(headers, traceparent);
  return { ...request, headers: passedOn, span };
}

/** Of gRPC, once its trailers are there. */
export function endAnswered({ span, grpc, signal }: RequestMessage, response: ResponseMessage): void {
  if (span === undefined) return;
  if (grpc === undefined) span.end({ httpStatus: response.status });
  else {
    whenEnded(response, signal, (grpcCode, message) => {
      span.end({ grpcCode, message });
    });
  }
}

export function endFailed({ span }: RequestMessage, error: unknown): void {
  span?.end({ grpcCode: grpcCodeIn(error) ?? GRPC_CODE.INTERNAL, message: messageOf(error) });
}

/** A Sidecar as its neighbours call it, with a span around each call. */
export function tracedNeighbour(tracer: Tracer, appId: AppId, neighbour: Neighbour): Neighbour {
  return {
    instanceId: neighbour.instanceId,
    receive: async (call: ReceivedCall) => {
      const request = beginReceived(tracer, appId, call.request);
      try {
        const response = await neighbour.receive({ ...call, request });
        endAnswered(request, response);
        return response;
      } catch (error) {
        endFailed(request, error);
        throw error;
      }
    },
  };
}
