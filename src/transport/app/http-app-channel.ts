import { CallError } from "../../core/errors.ts";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import { withoutHeaders } from "../../core/raw-headers.ts";
import type { AppChannel } from "../../invocation/ports.ts";
import {
  type TlsTrust,
  type Upstream,
  UpstreamError,
  type UpstreamFactory,
  type UpstreamWire,
} from "../upstream/upstream.ts";
import type { AppProtocol } from "./app-protocol.ts";

export interface HttpAppChannelOptions {
  /** `--app-channel-address`. */
  readonly address: string;
  readonly port: number;
  readonly protocol: AppProtocol;
  /** `spec.invocation.appTLS`: whose certificate the app must show over https. Undefined: any, as in daprd (A4). */
  readonly trust: TlsTrust | undefined;
  /** `APP_API_TOKEN`: sent to the app as `dapr-api-token`, so that the app knows its own sidecar (A4). */
  readonly appToken: string | undefined;
}

// daprd's limits of the app channel (A4). Header size: an app is trusted with more than a stranger.
const MAX_CONNECTIONS = 1024;
const MAX_HEADER_BYTES = 256 * 1024;

const SPOKEN: Readonly<Record<AppProtocol, string>> = {
  http: "HTTP/1.1 without TLS",
  https: "HTTP/1.1 over TLS",
  h2c: "HTTP/2 without TLS",
};

/** The sidecar's own app, spoken to over HTTP. */
export class HttpAppChannel implements AppChannel {
  readonly #upstream: Upstream;
  readonly #appToken: string | undefined;
  readonly #protocol: AppProtocol;
  /** Once it has answered, a connection that breaks has another cause than the wrong protocol. */
  #hasAnswered = false;

  constructor(options: HttpAppChannelOptions, createUpstream: UpstreamFactory) {
    this.#appToken = options.appToken;
    this.#protocol = options.protocol;
    this.#upstream = createUpstream({
      host: options.address,
      port: options.port,
      maxConnections: MAX_CONNECTIONS,
      maxHeaderBytes: MAX_HEADER_BYTES,
      ...wireFor(options),
    });
  }

  async call(request: RequestMessage): Promise<ResponseMessage> {
    if (request.method === "NONE") throw noVerb();
    if (request.grpc === true && this.#protocol !== "h2c") throw this.#noGrpc();
    try {
      const response = await this.#upstream.send(this.#withAppToken(request));
      this.#hasAnswered = true;
      return response;
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      const verb = request.method.charAt(0) + request.method.slice(1).toLowerCase();
      const what = `error invoking app channel: ${verb} "${this.#upstream.origin}${request.path}": ${error.message}${this.#advice(error)}`;
      throw new CallError("Internal", what, { cause: error });
    }
  }

  /** UNAVAILABLE, as in daprd, and not to be asked for again. */
  #noGrpc(): CallError {
    const why = `the app is spoken to in ${SPOKEN[this.#protocol]}, as --app-protocol ${this.#protocol} says`;
    return new CallError(
      "Internal",
      `connection error: ${why}, and a gRPC call needs HTTP/2: give grpc, grpcs or h2c`,
      {
        cause: new UpstreamError("foreign", why),
      },
    );
  }

  /** What the app's owner can do about it, where that is known. */
  #advice({ kind }: UpstreamError): string {
    if (kind === "untrusted") return "; whose certificates are taken is said by spec.invocation.appTLS";
    if (kind !== "foreign" && (kind !== "broken" || this.#hasAnswered)) return "";
    return `; it was spoken to in ${SPOKEN[this.#protocol]}, as --app-protocol ${this.#protocol} says; if the app speaks something else, give that: http, https or h2c`;
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

/** As daprd says it (observed/, "InvokeService: no verb"). */
function noVerb(): CallError {
  const cause = "rpc error: code = InvalidArgument desc = missing HTTP extension field";
  return new CallError("Internal", `error invoking app channel: ${cause}`);
}

function wireFor({ protocol, trust }: HttpAppChannelOptions): { readonly wire?: UpstreamWire } {
  if (protocol === "http") return {};
  return { wire: protocol === "https" ? { kind: protocol, trust } : { kind: protocol } };
}
