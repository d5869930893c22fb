import { CallError } from "../../core/errors.ts";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import { withoutHeaders } from "../../core/raw-headers.ts";
import type { AppChannel } from "../../invocation/ports.ts";
import { type Upstream, UpstreamError, type UpstreamFactory } from "../upstream/upstream.ts";

export interface HttpAppChannelOptions {
  /** `--app-channel-address`. */
  readonly address: string;
  readonly port: number;
  /** `APP_API_TOKEN`: sent to the app as `dapr-api-token`, so that the app knows its own sidecar (A4). */
  readonly appToken: string | undefined;
}

// daprd's limits of the app channel (A4). Header size: an app is trusted with more than a stranger.
const MAX_CONNECTIONS = 1024;
const MAX_HEADER_BYTES = 256 * 1024;

/** The sidecar's own app, spoken to over plain HTTP/1.1. */
export class HttpAppChannel implements AppChannel {
  readonly #upstream: Upstream;
  readonly #appToken: string | undefined;

  constructor(options: HttpAppChannelOptions, createUpstream: UpstreamFactory) {
    this.#appToken = options.appToken;
    this.#upstream = createUpstream({
      host: options.address,
      port: options.port,
      maxConnections: MAX_CONNECTIONS,
      maxHeaderBytes: MAX_HEADER_BYTES,
    });
  }

  async call(request: RequestMessage): Promise<ResponseMessage> {
    try {
      return await this.#upstream.send(this.#withAppToken(request));
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      const verb = request.method.charAt(0) + request.method.slice(1).toLowerCase();
      const what = `error invoking app channel: ${verb} "${this.#upstream.origin}${request.path}": ${error.message}`;
      throw new CallError("Internal", what, { cause: error });
    }
  }

  close(): void {
    this.#upstream.destroy();
  }

  #withAppToken(request: RequestMessage): RequestMessage {
    if (this.#appToken === undefined) return request;
    const headers = withoutHeaders(request.headers, (name) => name === "dapr-api-token");
    headers.push("Dapr-Api-Token", this.#appToken);
    return { ...request, headers };
  }
}
