import type { Clock } from "../../core/clock.ts";
import { ERRORS } from "../../core/errors.ts";
import { GRPC_CODE, grpcCodeIn } from "../../core/grpc-code.ts";
import type { Body, RequestMessage, ResponseMessage } from "../../core/message.ts";
import { headerValue } from "../../core/raw-headers.ts";
import { whenEnded } from "../../invocation/grpc-ending.ts";
import type {
  AppChannel,
  EndpointCaller,
  Neighbour,
  Neighbours,
  PeerCaller,
  ReceivedCall,
} from "../../invocation/ports.ts";
import type { GrpcMetrics } from "./grpc-metrics.ts";
import type { HttpMetrics } from "./http-metrics.ts";
import type { InvocationMetrics, InvocationType } from "./invocation-metrics.ts";

interface MeasuredCallsParts {
  readonly http: HttpMetrics;
  readonly grpc: GrpcMetrics;
  readonly invocations: InvocationMetrics;
  readonly clock: Clock;
}

type Receive = (call: ReceivedCall) => Promise<ResponseMessage>;

const ON_INVOKE = "/dapr.proto.runtime.v1.AppCallback/OnInvoke";
// What daprd counts where there was no answer.
const NO_ANSWER = ERRORS.invocationFailed.httpStatus;

/** The ways from one sidecar to apps, endpoints and other sidecars, each as it was and counted. */
export class MeasuredCalls {
  readonly #parts: MeasuredCallsParts;

  constructor(parts: MeasuredCallsParts) {
    this.#parts = parts;
  }

  /** @param speaksGrpc what is no call of gRPC goes to the app as `OnInvoke`. */
  channel(channel: AppChannel, speaksGrpc: boolean): AppChannel {
    if (speaksGrpc) return { call: (request) => this.#callGrpcApp(channel, request) };
    return {
      call: (request) =>
        request.grpc === true
          ? this.#callGrpcApp(channel, request)
          : this.#overHttp(request, this.#now(), channel.call(request)),
    };
  }

  endpoints(caller: EndpointCaller): EndpointCaller {
    return {
      call: (endpoint, request) => {
        const startedAt = this.#sent(endpoint.name, request);
        const answering = this.#overHttp(request, startedAt, caller.call(endpoint, request));
        return this.#answered(endpoint.name, request, startedAt, answering);
      },
    };
  }

  peers(caller: PeerCaller): PeerCaller {
    return {
      call: (instance, request, self) => {
        const { id } = instance.app;
        const startedAt = this.#sent(id, request);
        return this.#answered(id, request, startedAt, caller.call(instance, request, self));
      },
    };
  }

  neighbours(neighbours: Neighbours): Neighbours {
    const measured = new WeakMap<Neighbour, Neighbour>();
    return {
      find: (app) => {
        const neighbour = neighbours.find(app);
        if (neighbour === undefined) return undefined;
        let found = measured.get(neighbour);
        if (found === undefined) {
          const receive: Receive = (call) => {
            const startedAt = this.#sent(app.id, call.request);
            return this.#answered(app.id, call.request, startedAt, neighbour.receive(call));
          };
          found = { instanceId: neighbour.instanceId, receive };
          measured.set(neighbour, found);
        }
        return found;
      },
    };
  }

  /** What other apps call. */
  receive(receive: Receive): Receive {
    const { invocations } = this.#parts;
    return async (call) => {
      const caller = call.caller?.id ?? "";
      // daprd counts no proxied call here.
      if (call.request.grpc === true) return receive(call);
      invocations.received(caller);
      try {
        const response = await receive(call);
        invocations.served(caller, response.status);
        return response;
      } catch (error) {
        invocations.served(caller, NO_ANSWER);
        throw error;
      }
    };
  }

  #now(): number {
    return this.#parts.clock.monotonic();
  }

  /** @returns when. */
  #sent(callee: string, request: RequestMessage): number {
    this.#parts.invocations.sent(callee, typeOf(request));
    return this.#now();
  }

  async #answered(
    callee: string,
    request: RequestMessage,
    startedAt: number,
    answering: Promise<ResponseMessage>,
  ): Promise<ResponseMessage> {
    // What fails has no answer, and is none in daprd.
    const response = await answering;
    const { invocations } = this.#parts;
    const took = this.#now() - startedAt;
    const type = typeOf(request);
    if (type === "unary") invocations.answered(callee, type, response.status, took);
    else {
      whenEnded(response, request.signal, (code) => {
        invocations.answered(callee, type, code, took);
      });
    }
    return response;
  }

  async #overHttp(
    request: RequestMessage,
    startedAt: number,
    answering: Promise<ResponseMessage>,
  ): Promise<ResponseMessage> {
    let response: ResponseMessage;
    try {
      response = await answering;
    } catch (error) {
      this.#endedOverHttp(request, startedAt, NO_ANSWER, 0);
      throw error;
    }
    this.#endedOverHttp(request, startedAt, response.status, lengthOf(response));
    return response;
  }

  #endedOverHttp(
    { method, path, contentLength: sentBytes = 0 }: RequestMessage,
    startedAt: number,
    status: number,
    receivedBytes: number,
  ): void {
    const durationMs = this.#now() - startedAt;
    this.#parts.http.called({ method, path, status, sentBytes, receivedBytes, durationMs });
  }

  async #callGrpcApp(channel: AppChannel, request: RequestMessage): Promise<ResponseMessage> {
    const { grpc, clock } = this.#parts;
    const isProxied = request.grpc === true;
    const path = isProxied ? request.path : ON_INVOKE;
    const startedAt = clock.monotonic();
    const ended = (code: number, received?: Body): void => {
      const bytes = isProxied ? undefined : { sent: request.contentLength ?? 0, received: sizeOf(received) };
      grpc.called({ path, code, bytes, durationMs: clock.monotonic() - startedAt });
    };
    let response: ResponseMessage;
    try {
      response = await channel.call(request);
    } catch (error) {
      ended(grpcCodeIn(error) ?? GRPC_CODE.UNKNOWN);
      throw error;
    }
    whenEnded(response, request.signal, (code) => {
      ended(code, response.body);
    });
    return response;
  }
}

function typeOf({ grpc }: RequestMessage): InvocationType {
  return grpc === true ? "streaming" : "unary";
}

function lengthOf({ headers, body, upgrade }: ResponseMessage): number {
  if (body === undefined || upgrade !== undefined) return 0;
  if (body instanceof Uint8Array) return body.byteLength;
  const said = headerValue(headers, "content-length") ?? "";
  return /^\d{1,15}$/.test(said) ? Number(said) : 0;
}

function sizeOf(body: Body): number {
  return body instanceof Uint8Array ? body.byteLength : 0;
}
