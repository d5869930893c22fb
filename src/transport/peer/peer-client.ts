import type { AppInstance } from "../../components/contract/name-resolver.ts";
import { type AppIdentity, qualifiedName } from "../../core/app-id.ts";
import { discard } from "../../core/body.ts";
import type { Clock } from "../../core/clock.ts";
import { CallError } from "../../core/errors.ts";
import { GRPC_CODE, grpcCodeIn, type StatusCode } from "../../core/grpc-code.ts";
import { type RequestMessage, type ResponseMessage, withHeaders } from "../../core/message.ts";
import { headerValue } from "../../core/raw-headers.ts";
import { preparedMetadata, responseHeadersFromApp } from "../../invocation/forward-headers.ts";
import type { PeerCaller } from "../../invocation/ports.ts";
import { formatTimeout } from "../grpc/timeout.ts";
import { readAtMost } from "../read-at-most.ts";
import { authorityOf, UpstreamError, type UpstreamFactory } from "../upstream/upstream.ts";
import { type Peer, PeerConnections } from "./peer-connections.ts";
import {
  ASKS_FOR_PROOF,
  DATA_TYPE_HEADER,
  ERROR_HEADER,
  escapeDataType,
  HAS_DATA_TYPE,
  HAS_NO_VERB,
  NOT_THIS_APP,
  PROOF_HEADER,
  parseStatusCode,
  readDataType,
  readTrailers,
  TARGET_HEADER,
  TIMEOUT_HEADER,
  TRAILER_HEADER,
  UNSENT_HEADER,
} from "./peer-wire.ts";
import type { proxied } from "./proxying-client.ts";
import type { NoGrpc, ServiceInvocationClient } from "./service-invocation-client.ts";

const MAX_ERROR_BYTES = 16 * 1024;

/**
 * Calls the sidecars of other processes, keeping connections to each: Outriggers over the lean hop, any other in daprd's form.
 *
 * Who listens at an address that nothing vouches for is found out by the first call. It goes out in daprd's form, which all
 * of them understand, and asks for proof; once an Outrigger has given it, the lean hop is spoken with it, which proves anew
 * with each call. An upgrade, which daprd's form has no place for, asks over the lean hop at once.
 */
export class PeerClient implements PeerCaller {
  #proxied: Promise<typeof proxied> | undefined;
  readonly #connections: PeerConnections;
  readonly #clock: Clock;
  /** Loaded with the first call that needs it. */
  #serviceInvocation: Promise<ServiceInvocationWire> | undefined;

  constructor(clock: Clock, createUpstream: UpstreamFactory) {
    this.#clock = clock;
    this.#connections = new PeerConnections(clock, createUpstream);
  }

  async call(instance: AppInstance, request: RequestMessage, caller?: AppIdentity): Promise<ResponseMessage> {
    const peer = this.#connections.at(instance);
    if (request.grpc === true) return this.#callProxied(peer, instance, request, caller);
    if (speaksLean(instance, peer, request)) return this.#callLean(peer, instance, request);
    return this.#callAsDaprd(peer, instance, request);
  }

  close(): void {
    this.#connections.close();
  }

  async #callLean(peer: Peer, instance: AppInstance, request: RequestMessage): Promise<ResponseMessage> {
    const { path, query, body, contentLength, signal, upgrade, dataType, deadline } = request;
    const name = qualifiedName(instance.app);
    const toProve = instance.wire === "unproven";
    const hasNoVerb = request.method === "NONE";
    let target = toProve ? name + ASKS_FOR_PROOF : name;
    if (hasNoVerb) target += HAS_NO_VERB;
    if (dataType !== undefined) target += HAS_DATA_TYPE;
    const headers = [...request.headers, TARGET_HEADER, target];
    if (dataType !== undefined) headers.push(DATA_TYPE_HEADER, escapeDataType(dataType));
    if (deadline !== undefined) headers.push(TIMEOUT_HEADER, formatTimeout(deadline - this.#clock.monotonic()));
    const method = hasNoVerb ? "POST" : request.method;
    const sent = { method, path, query, headers, body, contentLength, signal };
    const response = await this.#sendLean(peer, instance, upgrade === undefined ? sent : { ...sent, upgrade });
    const error = headerValue(response.headers, ERROR_HEADER);
    if (toProve && error === undefined && headerValue(response.headers, PROOF_HEADER) !== name) {
      peer.forget();
      discard(response.body);
      const code = upgrade === undefined ? "Unavailable" : "Internal";
      throw notTheSidecar(instance, code, `what answers there is no Outrigger (HTTP status ${response.status})`);
    }
    if (toProve && error === undefined) peer.nature = { kind: "outrigger", name };
    peer.noteAnswer();
    // As the callee's sidecar prepared them, but for what its connection said of itself.
    if (error === undefined) return fromApp(response);
    const message = await readAtMost(response.body, MAX_ERROR_BYTES);
    const nothingSent = headerValue(response.headers, UNSENT_HEADER) !== undefined;
    if (error !== NOT_THIS_APP) throw new CallError(parseStatusCode(error), message, { nothingSent });
    peer.forget();
    throw new CallError("Unavailable", message, { nothingSent: true });
  }

  async #callProxied(
    peer: Peer,
    instance: AppInstance,
    request: RequestMessage,
    caller: AppIdentity | undefined,
  ): Promise<ResponseMessage> {
    this.#proxied ??= import("./proxying-client.ts").then(({ proxied }) => proxied);
    const call = await this.#proxied;
    return call(peer, instance, request, caller, async (sent) => {
      try {
        return await peer.http2.send(sent);
      } catch (error) {
        if (!(error instanceof UpstreamError)) throw error;
        peer.forget();
        throw notReached(peer, instance, codeOfBreak(error), error);
      }
    });
  }

  async #sendLean(peer: Peer, instance: AppInstance, request: RequestMessage): Promise<ResponseMessage> {
    try {
      return await peer.lean.send(request);
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      peer.forget();
      // What a peer may have begun to do with a connection that was to change its protocol is not asked for twice.
      const isFinal = request.upgrade !== undefined && !error.neverConnected;
      throw notReached(peer, instance, isFinal ? "Internal" : "Unavailable", error);
    }
  }

  async #callAsDaprd(peer: Peer, instance: AppInstance, request: RequestMessage): Promise<ResponseMessage> {
    this.#serviceInvocation ??= this.#loadServiceInvocation();
    const { client, NoGrpc } = await this.#serviceInvocation;
    try {
      const { outcome, provedAs } = await client.call(peer.http2, instance, request);
      peer.noteAnswer();
      if (instance.wire === "unproven") learn(peer, instance, provedAs, outcome);
      if (outcome instanceof CallError) throw outcome;
      return withHeaders(outcome, responseHeadersFromApp(outcome.headers));
    } catch (error) {
      if (error instanceof NoGrpc) {
        peer.forget();
        throw notTheSidecar(instance, "Unavailable", `what answers there does not speak gRPC (${error.message})`);
      }
      if (!(error instanceof UpstreamError)) throw error;
      peer.forget();
      throw notReached(peer, instance, codeOfBreak(error), error);
    }
  }

  async #loadServiceInvocation(): Promise<ServiceInvocationWire> {
    const { ServiceInvocationClient, NoGrpc } = await import("./service-invocation-client.ts");
    return { client: new ServiceInvocationClient(), NoGrpc };
  }
}

interface ServiceInvocationWire {
  readonly client: ServiceInvocationClient;
  readonly NoGrpc: typeof NoGrpc;
}

/** A daprd gets an upgrade as an ordinary request, which is what it makes of it itself. */
function speaksLean({ wire, app }: AppInstance, { nature }: Peer, { upgrade }: RequestMessage): boolean {
  if (wire !== "unproven") return wire === "lean";
  if (nature.kind === "outrigger") return nature.name === qualifiedName(app);
  return upgrade !== undefined && nature.kind === "unknown";
}

/** A call that a peer has reset it may have begun to serve, unless it says that it has not: only then it is made again. */
function codeOfBreak(error: UpstreamError): StatusCode {
  return grpcCodeIn(error) === GRPC_CODE.UNAVAILABLE ? "Unavailable" : "Internal";
}

/** @throws {CallError} Unavailable, where it is the sidecar of another app that has answered. */
function learn(
  peer: Peer,
  instance: AppInstance,
  provedAs: string | undefined,
  outcome: ResponseMessage | CallError,
): void {
  const name = qualifiedName(instance.app);
  if (provedAs === name) peer.nature = { kind: "outrigger", name };
  else if (provedAs !== undefined) {
    peer.forget();
    if (!(outcome instanceof CallError)) discard(outcome.body);
    throw notTheSidecar(instance, "Unavailable", `what answers there is the sidecar of ${provedAs}`);
  } else if (!(outcome instanceof CallError)) peer.nature = { kind: "daprd" };
  // An error without proof may be anybody's.
}

function notReached(peer: Peer, instance: AppInstance, code: StatusCode, error: UpstreamError): CallError {
  if (instance.wire !== "lean" && !peer.hasAnswered && wasReached(error)) {
    return notTheSidecar(instance, code, `what listens there does not answer as a sidecar does: ${error.message}`);
  }
  return new CallError(code, `cannot reach the sidecar of ${instance.app.id} at ${error.message}`, { cause: error });
}

// Nobody listens, or there is no way there: also of names with several addresses, and of connections that take too long.
const NOT_REACHED = new Set(["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT"]);

function wasReached(error: UpstreamError): boolean {
  return !error.neverConnected && !NOT_REACHED.has((error.cause as NodeJS.ErrnoException | undefined)?.code ?? "");
}

function notTheSidecar({ app, host, port }: AppInstance, code: StatusCode, what: string): CallError {
  return new CallError(
    code,
    `cannot reach the sidecar of ${app.id} at ${authorityOf({ host, port })}: ${what}; name the internal port of its Outrigger or daprd (--dapr-internal-grpc-port)`,
  );
}

function fromApp(response: ResponseMessage): ResponseMessage {
  const { headers } = response;
  const answer = withHeaders(response, responseHeadersFromApp(headers));
  if (headerValue(headers, TRAILER_HEADER) === undefined) return answer;
  const trailers = preparedMetadata(readTrailers(headers));
  const dataType = readDataType(headers);
  const complete = { ...answer, trailers: () => trailers };
  return dataType === undefined ? complete : { ...complete, dataType };
}
