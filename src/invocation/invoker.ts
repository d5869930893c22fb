import type { CallObserver, CallRecord } from "../core/call-observer.ts";
import type { CallSignal } from "../core/call-signal.ts";
import { CallError, messageOf, OutriggerError } from "../core/errors.ts";
import { visible } from "../core/go-json.ts";
import { grpcCodeIn } from "../core/grpc-code.ts";
import type { Body, RequestMessage, ResponseMessage } from "../core/message.ts";
import { type TraceContext, traceIdOf } from "../core/trace-context.ts";
import type { Span } from "../core/tracer.ts";
import type { PolicyTarget } from "../resiliency/resiliency-policies.ts";
import type { GrpcErrorStatus } from "../resources/configuration.ts";
import { AppCaller, type AppCallerParts } from "./app-caller.ts";
import { KnownUrls } from "./endpoint-url.ts";
import {
  addCallerHeaders,
  addCallerMetadata,
  addTraceHeaders,
  type CallerHost,
  requestHeadersFromApp,
  requestMetadataFromApp,
} from "./forward-headers.ts";
import { whenEnded } from "./grpc-ending.ts";
import { withHttpStatus } from "./grpc-error-status.ts";
import { type MethodPath, normaliseMethodPath } from "./method-path.ts";
import { callUnderPolicy } from "./policed-call.ts";
import type { CallRules, Endpoint, EndpointCaller, RepeatableBody } from "./ports.ts";
import { normaliseQuery } from "./query.ts";
import type { Receiver } from "./receiver.ts";
import { opened, type Replay } from "./replay.ts";
import { describeInvocation } from "./span-attributes.ts";
import { parseTarget, type Target } from "./target.ts";

/** An invocation as a protocol's route has decoded it, nothing judged yet. */
export interface Invocation {
  /** The target as the caller wrote it. */
  readonly target: string;
  /** The path as the caller wrote it, percent-encoded; begins with `/`. */
  readonly rawPath: string;
  /** True where a method had to be named and was not, which is a mistake (seed 000) and not the root. */
  readonly methodMissing: boolean;
  readonly method: string;
  /** Bytes as latin1 code units, without the `?`. */
  readonly query: string | undefined;
  /** As received, hop-by-hop headers and all. */
  readonly headers: readonly string[];
  readonly trace: TraceContext;
  /** Around the call, where there is a tracer: `trace` names it. Ended by whoever has started it. */
  readonly span?: Span;
  readonly body: Body;
  readonly contentLength: number | undefined;
  readonly signal: CallSignal;
  /** As of the message. */
  readonly upgrade?: string;
  /** As of the message: then `rawPath` goes on byte for byte. Retries cover the call until its answer begins. */
  readonly grpc?: true;
  readonly deadline?: number;
  /** As of the message. */
  readonly dataType?: string;
  /** Instead of `body`. */
  readonly repeatable?: RepeatableBody;
}

export interface InvokerParts extends AppCallerParts {
  readonly host: CallerHost;
  /** The callee side of this sidecar's own app. */
  readonly receiver: Receiver;
  readonly rules: CallRules;
  readonly endpointCaller: EndpointCaller;
  readonly observer: CallObserver;
  /** `spec.invocation.safeRetries`. */
  readonly safeRetries: boolean;
  /** `spec.invocation.preservePath`. */
  readonly preservePath: boolean;
  /** `spec.invocation.grpcErrorStatus`. */
  readonly grpcErrorStatus: GrpcErrorStatus;
}

/** The caller side of an invocation: read the target, normalise the path, forward the headers, carry the call. */
export class Invoker {
  readonly #parts: InvokerParts;
  readonly #apps: AppCaller;
  readonly #urls = new KnownUrls();

  constructor(parts: InvokerParts) {
    this.#parts = parts;
    this.#apps = new AppCaller(parts);
  }

  /**
   * @throws {OutriggerError} what the caller is to be told where the app gave no answer; nobody, where it has gone.
   */
  async invoke(invocation: Invocation): Promise<ResponseMessage> {
    const startedAt = this.#parts.clock.monotonic();
    if (invocation.span !== undefined) describeInvocation(invocation.span, invocation);
    try {
      const response = await this.#carry(invocation);
      if (invocation.grpc === undefined) return this.#answeredOrdinary(invocation, startedAt, response);
      whenEnded(response, invocation.signal, (code, error) => {
        this.#report(invocation, startedAt, response.status, error, code);
      });
      return response;
    } catch (cause) {
      const error = explain(invocation, cause);
      const code = invocation.grpc === undefined ? undefined : grpcCodeIn(error);
      this.#report(invocation, startedAt, error.httpStatus, error.message, code);
      throw error;
    }
  }

  #answeredOrdinary(invocation: Invocation, startedAt: number, response: ResponseMessage): ResponseMessage {
    const answer = withHttpStatus(response, this.#parts.grpcErrorStatus);
    this.#report(invocation, startedAt, answer.status, undefined);
    return answer;
  }

  async #carry(invocation: Invocation): Promise<ResponseMessage> {
    const target = parseTarget(invocation.target, this.#parts.self, this.#parts.rules.endpoints, this.#urls.endpointAt);
    refuseMissingMethod(invocation, target);
    const prepared = this.#fromHere(this.#toRequest(invocation), target, invocation);
    const request = invocation.span === undefined ? prepared : { ...prepared, span: invocation.span };
    const replay = { request, body: invocation.repeatable, safeRetries: this.#parts.safeRetries };
    const policy = this.#parts.rules.policies?.policyFor(policyTarget(target, invocation, request));
    const response =
      policy === undefined
        ? await this.#dispatch(target, replay)
        : await callUnderPolicy({
            policy,
            replay,
            clock: this.#parts.clock,
            attempt: (signal) => this.#dispatch(target, withSignal(replay, signal)),
          });
    invocation.repeatable?.keepNoMore();
    return response;
  }

  #dispatch(target: Target, replay: Replay): Promise<ResponseMessage> {
    switch (target.kind) {
      case "self":
        return this.#parts.receiver.receiveOwn(opened(replay));
      case "app":
        return this.#apps.call(target.app, replay);
      case "endpoint":
      case "url":
        return this.#callEndpoint(target.endpoint, replay.request);
    }
  }

  #toRequest(invocation: Invocation): RequestMessage {
    if (invocation.grpc === true) return toGrpcRequest(invocation);
    return toRequest(invocation, normaliseMethodPath(invocation.rawPath, { preserve: this.#parts.preservePath }));
  }

  /** The request, with who sends it where it goes to another app. */
  #fromHere(request: RequestMessage, target: Target, { trace }: Invocation): RequestMessage {
    if (target.kind !== "app") return request;
    const callee = target.app;
    const { self, host } = this.#parts;
    if (request.grpc === true) {
      return { ...request, headers: addCallerMetadata(request.headers, { caller: self, callee, trace }) };
    }
    addCallerHeaders(request.headers, { caller: self, callee, host });
    return request;
  }

  /** Whoever is there is not told who calls, and has no token of the app's. */
  #callEndpoint(endpoint: Endpoint, request: RequestMessage): Promise<ResponseMessage> {
    const { endpointCaller, rules } = this.#parts;
    if (request.grpc === true) {
      throw new CallError("Unimplemented", `${endpoint.name} is an HTTP endpoint; calls of gRPC go to apps alone`);
    }
    if (rules.appPipeline === undefined) return endpointCaller.call(endpoint, request);
    return rules.appPipeline.handle(request, (passedOn) => endpointCaller.call(endpoint, passedOn));
  }

  /** @param grpcStatus of gRPC alone. */
  #report(
    invocation: Invocation,
    startedAt: number,
    status: number,
    error: string | undefined,
    grpcStatus?: number,
  ): void {
    const record: CallRecord = {
      direction: "sent",
      caller: this.#parts.self,
      target: invocation.target,
      method: invocation.method,
      path: invocation.rawPath,
      status,
      durationMs: this.#parts.clock.monotonic() - startedAt,
      traceId: traceIdOf(invocation.trace.traceparent),
      error,
    };
    this.#parts.observer.callEnded(grpcStatus === undefined ? record : { ...record, grpcStatus });
  }
}

/** gRPC over HTTP/2: POST, and nothing of the path is decoded, cleaned or taken for a query. */
function toGrpcRequest({ rawPath, headers, body, signal, deadline }: Invocation): RequestMessage {
  const request: RequestMessage = {
    method: "POST",
    path: rawPath,
    query: undefined,
    headers: requestMetadataFromApp(headers),
    body,
    contentLength: undefined,
    signal,
    grpc: true,
  };
  return deadline === undefined ? request : { ...request, deadline };
}

/** What `targets.apps` names it, and what has a circuit breaker of its own below that (A3). */
function policyTarget(target: Target, { target: written }: Invocation, { path }: RequestMessage): PolicyTarget {
  switch (target.kind) {
    case "self":
      return { kind: "app", name: written.split(".")[0] ?? written, endpoint: path };
    case "app":
      return { kind: "app", name: target.app.id, endpoint: path };
    case "endpoint":
      return { kind: "app", name: target.endpoint.name, endpoint: "" };
    case "url":
      return { kind: "app", name: target.endpoint.name, endpoint: path };
  }
}

function withSignal(replay: Replay, signal: CallSignal): Replay {
  const { request } = replay;
  return signal === request.signal ? replay : { ...replay, request: { ...request, signal } };
}

function toRequest(invocation: Invocation, path: MethodPath): RequestMessage {
  const headers = requestHeadersFromApp(invocation.headers);
  addTraceHeaders(headers, invocation.trace);
  const request: RequestMessage = {
    method: toDaprVerb(invocation.method),
    path: path.wire,
    query: invocation.query === undefined ? undefined : normaliseQuery(invocation.query),
    headers,
    body: invocation.body,
    contentLength: invocation.contentLength,
    signal: invocation.signal,
  };
  const { upgrade, deadline, dataType } = invocation;
  if (upgrade !== undefined) return { ...request, upgrade };
  if (deadline === undefined && dataType === undefined) return request;
  const timed = deadline === undefined ? request : { ...request, deadline };
  return dataType === undefined ? timed : { ...timed, dataType };
}

// common.v1.HTTPExtension.Verb without CONNECT, which daprd refuses. NONE is the app's to take or to refuse: it comes from
// callers that speak gRPC, for HTTP knows no such verb.
const DAPR_VERBS = new Set(["NONE", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"]);

/** daprd turns a verb it has no number for into POST (observed/, "unknown verb"). */
function toDaprVerb(method: string): string {
  if (method === "CONNECT") throw new CallError("InvalidArgument", `not implemented http method: ${method}`);
  return DAPR_VERBS.has(method) ? method : "POST";
}

function refuseMissingMethod(invocation: Invocation, target: Target): void {
  // The root of a host is a place of its own (design.md).
  if (!invocation.methodMissing || target.kind === "url" || target.kind === "endpoint") return;
  throw new OutriggerError(
    "methodNameNotGiven",
    `failed to invoke, id: ${visible(invocation.target)}, err: method name not given; put it after /method/, or call /method/. for the root`,
  );
}

function explain(invocation: Invocation, cause: unknown): OutriggerError {
  if (cause instanceof OutriggerError) return cause;
  const kind =
    cause instanceof CallError && cause.code === "PermissionDenied" ? "invocationForbidden" : "invocationFailed";
  return new OutriggerError(kind, `failed to invoke, id: ${visible(invocation.target)}, err: ${messageOf(cause)}`, {
    cause,
  });
}
