import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import type { AppChannel } from "../../invocation/ports.ts";
import { type Upstream, UpstreamError, type UpstreamFactory, type UpstreamOptions } from "../upstream/upstream.ts";
import { APP_LIMITS, type AppChannelOptions, withAppToken } from "./app-channel-options.ts";
import { appFailure } from "./app-failure.ts";
import type { GrpcAppProtocol } from "./app-protocol.ts";
import type { OnInvoke } from "./on-invoke.ts";

export interface GrpcAppChannelOptions extends AppChannelOptions<GrpcAppProtocol> {
  /** `--max-body-size`, of what the app gets and of what it answers where that is one message. */
  readonly maxBodyBytes: number;
}

/**
 * The sidecar's own app, spoken to over gRPC. A call that is gRPC itself goes to it as it stands; any other becomes
 * `AppCallback.OnInvoke`.
 */
export class GrpcAppChannel implements AppChannel {
  readonly #options: GrpcAppChannelOptions;
  readonly #upstream: Upstream;
  /** Loaded with the first call: generated code is dear. */
  #onInvoke: Promise<OnInvoke> | undefined;
  #hasAnswered = false;

  constructor(options: GrpcAppChannelOptions, createUpstream: UpstreamFactory) {
    this.#options = options;
    this.#upstream = createUpstream(grpcUpstreamOptions(options));
  }

  async call(request: RequestMessage): Promise<ResponseMessage> {
    const sent = this.#withAppToken(request);
    try {
      const response = await (sent.grpc === true ? this.#upstream.send(sent) : this.#invoke(sent));
      this.#hasAnswered = true;
      return response;
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      const [{ origin }, { protocol }] = [this.#upstream, this.#options];
      throw appFailure({ request, error, origin, protocol, hasAnswered: this.#hasAnswered });
    }
  }

  close(): void {
    this.#upstream.destroy();
  }

  async #invoke(request: RequestMessage): Promise<ResponseMessage> {
    const { maxBodyBytes } = this.#options;
    this.#onInvoke ??= import("./on-invoke.ts").then(({ OnInvoke }) => new OnInvoke(this.#upstream, maxBodyBytes));
    return (await this.#onInvoke).call(request);
  }

  #withAppToken(request: RequestMessage): RequestMessage {
    const { appToken } = this.#options;
    return appToken === undefined ? request : { ...request, headers: withAppToken(request.headers, appToken) };
  }
}

export function grpcUpstreamOptions(options: AppChannelOptions<GrpcAppProtocol>): UpstreamOptions {
  const { address, port, protocol, trust } = options;
  const wire = protocol === "grpcs" ? ({ kind: "h2", trust } as const) : ({ kind: "h2c" } as const);
  return { host: address, port, ...APP_LIMITS, wire };
}
