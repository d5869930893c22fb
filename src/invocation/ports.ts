import type { AppInstance } from "../components/contract/name-resolver.ts";
import type { AppIdentity } from "../core/app-id.ts";
import type { CallSignal } from "../core/call-signal.ts";
import type { Body, RequestMessage, ResponseMessage } from "../core/message.ts";
import type { RawHeaders } from "../core/raw-headers.ts";
import type { SpiffeId } from "../core/spiffe-id.ts";
import type { ResiliencyPolicies } from "../resiliency/resiliency-policies.ts";
import type { Pipeline } from "./pipeline.ts";

/** What invocation needs from the outside. Implemented by transport/ and runtime/. */

/** A way to reach the sidecar's own app. The code above never learns whether it is HTTP or gRPC. */
export interface AppChannel {
  /**
   * @throws {CallError} Internal, where the app did not answer. The returned body breaks where the app's answer breaks.
   */
  call(request: RequestMessage): Promise<ResponseMessage>;
}

/** A way to ask the app whether it is well. The code above never learns whether that is an HTTP path or a gRPC method. */
export interface AppProbe {
  /**
   * @returns what is wrong, in words for the log; undefined where the app says that it is well.
   * @throws the signal's reason when it fires first.
   */
  ask(signal: CallSignal): Promise<string | undefined>;
}

/** A way to reach the sidecar of another process. */
export interface PeerCaller {
  /**
   * @param caller whose call it is; only gRPC needs it.
   * @throws {CallError} Unavailable where the peer could not be reached, or is not the sidecar of `instance.app`;
   *   whatever the peer's receiver threw otherwise.
   */
  call(instance: AppInstance, request: RequestMessage, caller?: AppIdentity): Promise<ResponseMessage>;
}

/** A body whose beginning is kept, so that a call that failed can be made once more. */
export interface RepeatableBody {
  /** The body from its beginning. What was opened before gets nothing more. */
  open(): Body;
  /** Whether it can be opened once more. */
  readonly canRepeat: boolean;
  /** Nothing of it has been handed out yet. */
  readonly isUntouched: boolean;
  /** The call is answered: nothing has to be kept any longer. */
  keepNoMore(): void;
}

/** What resources say of calls. They may be others from one call to the next: a call asks once and goes on with what it got. */
export interface CallRules {
  /** By their names. */
  readonly endpoints: ReadonlyMap<string, Endpoint>;
  /** Undefined where no Resiliency resource is for the app. */
  readonly policies: ResiliencyPolicies | undefined;
  /** `spec.appHttpPipeline`, in front of the app and of HTTP endpoints; undefined where there is nothing in it. */
  readonly appPipeline: Pipeline | undefined;
}

/** A way to reach what no sidecar stands beside. */
export interface EndpointCaller {
  /**
   * @throws {CallError} without a code, where there was no answer: what was asked for, and what happened.
   */
  call(endpoint: Endpoint, request: RequestMessage): Promise<ResponseMessage>;
}

/** An API that no sidecar stands beside (seeds 001 and 003): of an HTTPEndpoint resource, or of a URL. */
export interface Endpoint {
  /** As its callers name it. */
  readonly name: string;
  readonly scheme: "http" | "https";
  /** IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** What comes before the method's path; empty, or begins with `/` and does not end with one. */
  readonly basePath: string;
  /** Sent with every call, in the place of the caller's of the same names. */
  readonly headers: RawHeaders;
  /** Undefined: Node's authorities, and no certificate of our own. */
  readonly tls: EndpointTls | undefined;
  readonly followsRedirects: boolean;
}

export interface EndpointTls {
  /** PEM; undefined: Node's. */
  readonly ca: string | undefined;
  /** PEM, for an endpoint that asks who calls. */
  readonly own: { readonly certificate: string; readonly privateKey: string } | undefined;
  /** Of TLS 1.2. */
  readonly renegotiation: "never" | "once" | "freely";
}

/** The other Sidecars of this process. */
export interface Neighbours {
  /** Undefined where this process has no such app. */
  find(app: AppIdentity): Neighbour | undefined;
}

export interface Neighbour {
  readonly instanceId: string;
  /** The callee side of the call, the same that stands behind the peer port. */
  receive(call: ReceivedCall): Promise<ResponseMessage>;
}

/** A call that has arrived at the callee's side. */
export interface ReceivedCall {
  /** Who the call comes from, as the calling sidecar said; undefined where it did not say. For people to read. */
  readonly caller: AppIdentity | undefined;
  /** Who the call is proved to come from; undefined where nothing proves it. Access rules believe this alone. */
  readonly identity: SpiffeId | undefined;
  readonly request: RequestMessage;
}

/**
 * Holds a request to the callee's `--max-body-size`: gives it back, its body failing once it is over the limit.
 *
 * Of gRPC it is the limit of each message.
 *
 * @throws {CallError} ResourceExhausted, where the announced length is over it already.
 */
export type BodyLimit = (request: RequestMessage) => RequestMessage;
