import { CallError } from "../../core/errors.ts";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import { withoutHeaders } from "../../core/raw-headers.ts";
import type { AppChannel } from "../../invocation/ports.ts";
import { type Upstream, UpstreamError, type UpstreamFactory, type UpstreamWire } from "../upstream/upstream.ts";
import { APP_LIMITS, type AppChannelOptions, withAppToken } from "./app-channel-options.ts";
import { appFailure } from "./app-failure.ts";
import type { AppProtocol, GrpcAppProtocol } from "./app-protocol.ts";

export type HttpAppChannelOptions = AppChannelOptions<Exclude<AppProtocol, GrpcAppProtocol>>;

/** The sidecar's own app, spoken to over HTTP. */
export class HttpAppChannel implements AppChannel {
  readonly #upstream: Upstream;
  readonly #appToken: string | undefined;
  readonly #protocol: HttpAppChannelOptions["protocol"];
  #hasAnswered = false;

  constructor(options: HttpAppChannelOptions, createUpstream: UpstreamFactory) {
    this.#appToken = options.appToken;
    this.#protocol = options.protocol;
    this.#upstream = createUpstream({
      host: options.address,
      port: options.port,
      ...APP_LIMITS,
      ...wireFor(options),
    });
  }

  async call(request: RequestMessage): Promise<ResponseMessage> {
    if (request.method === "NONE") throw noVerb();
    if (request.grpc === true && this.#protocol !== "h2c") throw this.#noGrpc();
    try {
      const response = await this.#upstream.send(this.#prepared(request));
      this.#hasAnswered = true;
      return response;
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      const [{ origin }, protocol, hasAnswered] = [this.#upstream, this.#protocol, this.#hasAnswered];
      throw appFailure({ request, error, origin, protocol, hasAnswered });
    }
  }

  close(): void {
    this.#upstream.destroy();
  }

  /** With the app's token, and without what only a gRPC app can read. */
  #prepared(request: RequestMessage): RequestMessage {
    const { headers } = request;
    const readable = request.grpc !== true && hasBinary(headers) ? withoutHeaders(headers, isBinary) : headers;
    if (this.#appToken !== undefined) return { ...request, headers: withAppToken(readable, this.#appToken) };
    return readable === headers ? request : { ...request, headers: readable };
  }

  /** UNAVAILABLE, which is what the cause says (observed/, "proxy: to an HTTP app"); not to be asked for again. */
  #noGrpc(): CallError {
    const why = `the app speaks HTTP/1.1, as --app-protocol ${this.#protocol} says, which carries no gRPC; if it speaks gRPC, give grpc, grpcs or h2c`;
    const cause = new UpstreamError("foreign", why);
    return new CallError("Internal", `error invoking app channel: ${this.#upstream.origin}: ${why}`, { cause });
  }
}

/** As daprd says it (observed/, "InvokeService: no verb"). */
function noVerb(): CallError {
  const cause = "rpc error: code = InvalidArgument desc = missing HTTP extension field";
  return new CallError("Internal", `error invoking app channel: ${cause}`);
}

function isBinary(lowerName: string): boolean {
  return lowerName.endsWith("-bin");
}

const [SMALL_N, LARGE_N] = ["n".charCodeAt(0), "N".charCodeAt(0)];

/** Asked of every call: nearly all names tell by their last letter. */
function hasBinary(headers: readonly string[]): boolean {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? "";
    const last = name.charCodeAt(name.length - 1);
    if ((last === SMALL_N || last === LARGE_N) && isBinary(name.toLowerCase())) return true;
  }
  return false;
}

function wireFor({ protocol, trust }: HttpAppChannelOptions): { readonly wire?: UpstreamWire } {
  if (protocol === "http") return {};
  return { wire: protocol === "https" ? { kind: protocol, trust } : { kind: protocol } };
}
