import type { AppInstance, NameResolver } from "../components/contract/name-resolver.ts";
import { type AppIdentity, qualifiedName } from "../core/app-id.ts";
import type { CallObserver, CallRecord } from "../core/call-observer.ts";
import type { CallSignal } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";
import { CallError, messageOf, nothingWasSent, OutriggerError } from "../core/errors.ts";
import { visible } from "../core/go-json.ts";
import { grpcCodeIn } from "../core/grpc-code.ts";
import type { Body, RequestMessage, ResponseMessage } from "../core/message.ts";
import type { SpiffeId } from "../core/spiffe-id.ts";
import { type TraceContext, traceIdOf } from "../core/trace-context.ts";
import type { Span } from "../core/tracer.ts";
import type { CallPolicy, PolicyTarget } from "../resiliency/resiliency-policies.ts";
import { RetriesExhausted, runWithRetries } from "../resiliency/retry-runner.ts";
import { DEFAULT_SERVICE_RETRIES } from "../resources/built-in-retries.ts";
import type { GrpcErrorStatus } from "../resources/configuration.ts";
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
import { InstanceRotation } from "./instance-rotation.ts";
import { type MethodPath, normaliseMethodPath } from "./method-path.ts";
import { callUnderPolicy, isSafe } from "./policed-call.ts";
import type {
  CallRules,
  Endpoint,
  EndpointCaller,
  Neighbour,
  Neighbours,
  PeerCaller,
  RepeatableBody,
} from "./ports.ts";
import { normaliseQuery } from "./query.ts";
import type { Receiver } from "./receiver.ts";
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

export interface InvokerParts {
  readonly self: AppIdentity;
  /** Who this sidecar's app is to its neighbours. */
  readonly identity: SpiffeId;
  readonly host: CallerHost;
  /** The callee side of this sidecar's own app. */
  readonly receiver: Receiver;
  readonly neighbours: Neighbours;
  readonly peers: PeerCaller;
  readonly rules: CallRules;
  readonly endpointCaller: EndpointCaller;
  readonly resolver: NameResolver;
  readonly observer: CallObserver;
  readonly clock: Clock;
  /** `spec.invocation.safeRetries`. */
  readonly safeRetries: boolean;
  /** `spec.invocation.preservePath`. */
  readonly preservePath: boolean;
  /** `spec.invocation.grpcErrorStatus`. */
  readonly grpcErrorStatus: GrpcErrorStatus;
}

// daprd asks its resolver this often before it gives up on an app nobody knows (A2): it bridges a callee that starts.
const RESOLVE_TRIES = 6;
const RESOLVE_INTERVAL_MS = 100;

/** The caller side of an invocation: read the target, normalise the path, forward the headers, carry the call. */
export class Invoker {
  readonly #parts: InvokerParts;
  readonly #rotation = new InstanceRotation();
  readonly #urls = new KnownUrls();

  constructor(parts: InvokerParts) {
    this.#parts = parts;
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
    const { repeatable } = invocation;
    const policy = this.#parts.rules.policies?.policyFor(policyTarget(target, invocation, request));
    const response =
      policy === undefined
        ? await this.#dispatch(target, request, repeatable)
        : await this.#underPolicy(policy, target, request, repeatable);
    repeatable?.keepNoMore();
    return response;
  }

  #underPolicy(
    policy: CallPolicy,
    target: Target,
    request: RequestMessage,
    repeatable: RepeatableBody | undefined,
  ): Promise<ResponseMessage> {
    return callUnderPolicy({
      policy,
      request,
      clock: this.#parts.clock,
      safeRetries: this.#parts.safeRetries,
      attempt: (signal) =>
        this.#dispatch(target, signal === request.signal ? request : { ...request, signal }, repeatable),
      isReplayable: () => isReplayable(request, repeatable),
      isUntouched: () => repeatable?.isUntouched === true,
    });
  }

  #dispatch(target: Target, request: RequestMessage, repeatable?: RepeatableBody): Promise<ResponseMessage> {
    switch (target.kind) {
      case "self":
        return this.#parts.receiver.receiveOwn(opened(request, repeatable));
      case "app":
        return this.#callApp(target.app, request, repeatable);
      case "endpoint":
      case "url":
        return this.#callEndpoint(target.endpoint, request);
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

  async #callApp(callee: AppIdentity, request: RequestMessage, body?: RepeatableBody): Promise<ResponseMessage> {
    const { policies } = this.#parts.rules;
    // Whoever has policies of its own for an app has thought of retries, too (A3).
    if (policies?.names({ kind: "app", name: callee.id, endpoint: "" }) === true) {
      return this.#callAnyInstance(callee, request, body);
    }
    let unavailable: CallError | undefined;
    let tries = 0;
    try {
      return await runWithRetries({
        policy: policies?.builtInServiceRetries ?? DEFAULT_SERVICE_RETRIES,
        random: Math.random,
        clock: this.#parts.clock,
        signal: request.signal,
        attempt: () => {
          if (tries++ > 0) request.span?.event("retry", { "dapr.retry": tries - 1 });
          return this.#callAnyInstance(callee, request, body);
        },
        mayRetry: (error) => {
          if (!isUnavailable(error) || !this.#mayRepeat(request, body, error)) return false;
          unavailable ??= error;
          return true;
        },
      });
    } catch (error) {
      // It has left meanwhile, which says less than what had kept it from answering.
      if (error instanceof NoHostFound) throw unavailable ?? error;
      if (!(error instanceof RetriesExhausted)) throw error;
      const { retries, cause } = error;
      const target = qualifiedName(callee);
      throw new CallError(
        undefined,
        `failed to invoke target ${target} after ${retries} retries. Error: ${messageOf(cause)}`,
        { cause },
      );
    }
  }

  /** One try: the instances in turn, until one can be reached. */
  async #callAnyInstance(
    callee: AppIdentity,
    request: RequestMessage,
    body?: RepeatableBody,
  ): Promise<ResponseMessage> {
    const instances = await this.#findInstances(callee, request.signal);
    if (instances.length === 0) return this.#callLeavingNeighbour(callee, opened(request, body));
    let failure: unknown;
    for (const instance of this.#rotation.next(callee, instances)) {
      try {
        return await this.#callInstance(instance, opened(request, body));
      } catch (error) {
        if (!isUnavailable(error)) throw error;
        this.#parts.resolver.reportUnreachable(instance);
        if (!this.#mayRepeat(request, body, error)) throw error;
        failure = error;
      }
    }
    throw failure;
  }

  /** Whether the call can be made once more after this error, and, with `safeRetries`, must not have been made before. */
  #mayRepeat(request: RequestMessage, body: RepeatableBody | undefined, error: unknown): boolean {
    if (!isReplayable(request, body)) return false;
    return !this.#parts.safeRetries || nothingWasSent(error) || isSafe(request) || body?.isUntouched === true;
  }

  async #callInstance(instance: AppInstance, request: RequestMessage): Promise<ResponseMessage> {
    const neighbour = this.#parts.neighbours.find(instance.app);
    if (neighbour?.instanceId === instance.instanceId) return this.#callNeighbour(neighbour, request);
    return this.#parts.peers.call(instance, request, this.#parts.self);
  }

  /** A neighbour that is ending can no longer be found by others; what its own process has under way may need it. */
  #callLeavingNeighbour(callee: AppIdentity, request: RequestMessage): Promise<ResponseMessage> {
    const neighbour = this.#parts.neighbours.find(callee);
    if (neighbour === undefined) throw this.#notFound(callee);
    return this.#callNeighbour(neighbour, request);
  }

  /** This process has started the caller too, so that its word for who it is will do. */
  #callNeighbour(neighbour: Neighbour, request: RequestMessage): Promise<ResponseMessage> {
    const { self, identity } = this.#parts;
    return neighbour.receive({ caller: self, identity, request });
  }

  /** None only where the app is a neighbour. @throws {CallError} naming the app and where it was looked for. */
  async #findInstances(callee: AppIdentity, signal: CallSignal): Promise<readonly AppInstance[]> {
    for (let tries = 1; ; tries++) {
      const instances = await this.#parts.resolver.resolve(callee);
      if (instances.length > 0 || this.#parts.neighbours.find(callee) !== undefined) return instances;
      if (tries === RESOLVE_TRIES || !this.#parts.resolver.worthAskingAgain) throw this.#notFound(callee);
      await this.#parts.clock.sleep(RESOLVE_INTERVAL_MS, signal);
    }
  }

  #notFound({ id, namespace }: AppIdentity): CallError {
    return new NoHostFound(
      undefined,
      `no host found with the given ID: app "${id}" in namespace "${namespace}" is not in ${this.#parts.resolver.description}; is it running?`,
      { nothingSent: true },
    );
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

class NoHostFound extends CallError {}

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

function opened(request: RequestMessage, body: RepeatableBody | undefined): RequestMessage {
  return body === undefined ? request : { ...request, body: body.open() };
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

function isUnavailable(error: unknown): error is CallError {
  return error instanceof CallError && error.code === "Unavailable";
}

/** A body that has been read, even in part, cannot be sent a second time. */
function isReplayable({ body }: RequestMessage, repeatable: RepeatableBody | undefined): boolean {
  if (repeatable !== undefined) return repeatable.canRepeat;
  if (body === undefined || body instanceof Uint8Array) return true;
  return !body.readableDidRead && !body.destroyed;
}

function explain(invocation: Invocation, cause: unknown): OutriggerError {
  if (cause instanceof OutriggerError) return cause;
  const kind =
    cause instanceof CallError && cause.code === "PermissionDenied" ? "invocationForbidden" : "invocationFailed";
  return new OutriggerError(kind, `failed to invoke, id: ${visible(invocation.target)}, err: ${messageOf(cause)}`, {
    cause,
  });
}
