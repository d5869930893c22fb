import { whenUsedUp } from "../core/body.ts";
import { CallError, messageOf, nothingWasSent } from "../core/errors.ts";
import { InFlight } from "../core/in-flight.ts";
import type { Logger } from "../core/logger.ts";
import { type RequestMessage, type ResponseMessage, withHeaders } from "../core/message.ts";
import type { SpiffeId } from "../core/spiffe-id.ts";
import type { AccessControl } from "../security/access-control.ts";
import { refuseAppCallback } from "./app-callback.ts";
import { type AppHealth, appUnhealthy } from "./app-health.ts";
import type { ConcurrencyLimit } from "./concurrency-limit.ts";
import { responseHeadersFromApp, withPreparedMetadata, withPreparedTrailers } from "./forward-headers.ts";
import { pathReadings } from "./path-readings.ts";
import type { AppChannel, BodyLimit, ReceivedCall } from "./ports.ts";
import type { StartGate } from "./start-gate.ts";

export interface ReceiverParts {
  /** Undefined for a sidecar without an app. */
  readonly channel: AppChannel | undefined;
  /** The app speaks gRPC, whatever a call comes in: its methods have no verb, and their case counts (A12). */
  readonly speaksGrpc: boolean;
  readonly limit: ConcurrencyLimit;
  readonly gate: StartGate;
  /** Undefined where the app is not probed, and counts as healthy. */
  readonly health: AppHealth | undefined;
  readonly limitBody: BodyLimit;
  /** Undefined where everybody may call everything. */
  readonly access: AccessControl | undefined;
  /** Told of each call that access rules have judged. */
  readonly onJudged?: ((caller: SpiffeId | undefined, isByPolicy: boolean, isAllowed: boolean) => void) | undefined;
  readonly log: Logger;
}

/**
 * The callee side of an invocation. Whatever door a call comes through (peer port, a neighbour in this process, the
 * app calling itself), the app is reached from here and under the same rules.
 */
export class Receiver {
  readonly #parts: ReceiverParts;
  readonly #inFlight = new InFlight();
  /** Ends a call that has its slot. The same for all, so that a call makes no function of its own. */
  readonly #end = (): void => {
    this.#parts.limit.release();
    this.#inFlight.leave();
  };

  constructor(parts: ReceiverParts) {
    this.#parts = parts;
    parts.health?.onChange(({ healthy }) => {
      if (!healthy) parts.limit.turnAway(appUnhealthy());
    });
  }

  /**
   * A call from another app.
   *
   * @throws {CallError} Internal, where there is no app, it is not healthy or did not answer; PermissionDenied, where access
   *   rules forbid the call, or it is for the app's own sidecar alone; ResourceExhausted, where the body is over the limit, or too many calls wait for the app.
   */
  async receive(call: ReceivedCall): Promise<ResponseMessage> {
    const { access, channel, limitBody } = this.#parts;
    if (channel === undefined) throw new CallError("Internal", "app channel is not initialized");
    refuseAppCallback(call.request.path);
    if (access !== undefined) this.#refuseForbidden(access, call);
    return this.#deliver(channel, limitBody(call.request));
  }

  /**
   * A call of the app to itself: no access rules, as in daprd (A12).
   *
   * @throws {CallError} without a code where there is no app; Internal where it is not healthy or did not answer;
   *   PermissionDenied where the call is for the sidecar alone; ResourceExhausted where too many calls wait for it.
   */
  async receiveOwn(request: RequestMessage): Promise<ResponseMessage> {
    const { channel } = this.#parts;
    if (channel === undefined) {
      throw new CallError(undefined, "cannot invoke local endpoint: app channel not initialized");
    }
    refuseAppCallback(request.path);
    return this.#deliver(channel, request);
  }

  /**
   * What the sidecar itself asks of its app: events, and what it subscribes to. No access rules, and no method is kept from it.
   *
   * @throws {CallError} Internal where there is no app, it is not healthy or did not answer; ResourceExhausted where too many
   *   calls wait for it. Where nothing has gone to the app it says so, when its signal has fired, too.
   */
  async deliverEvent(request: RequestMessage): Promise<ResponseMessage> {
    const { channel } = this.#parts;
    if (channel === undefined) throw new CallError("Internal", "app channel is not initialized");
    const begun = new Set<RequestMessage>();
    const call = (admitted: RequestMessage): Promise<ResponseMessage> => {
      begun.add(admitted);
      return channel.call(admitted);
    };
    try {
      return await this.#deliver({ call }, request);
    } catch (cause) {
      if (begun.size > 0 || nothingWasSent(cause)) throw cause;
      throw new CallError(undefined, messageOf(cause), { cause, nothingSent: true });
    }
  }

  /** Resolves once no call is being answered any more, bodies included. */
  async whenIdle(): Promise<void> {
    await this.#inFlight.whenIdle();
  }

  /** Judges what the app would be sent, whoever has prepared it. */
  #refuseForbidden(access: AccessControl, { caller, identity, request }: ReceivedCall): void {
    const { grpc, method, path } = request;
    const readings = pathReadings(path);
    // As daprd compares; and without a verb, a rule for one could be evaded.
    const isVerbless = this.#parts.speaksGrpc || grpc === true || method === "NONE";
    const allows = (reading: string): boolean =>
      isVerbless ? access.allowsGrpc(identity, reading) : access.allows(identity, reading, method);
    const isAllowed = readings?.every(allows) === true;
    this.#parts.onJudged?.(identity, access.hasPolicyFor(identity), isAllowed);
    if (isAllowed) return;
    // daprd names a method of HTTP without its leading slash, gRPC's verb as none, and nobody as nothing.
    const operation = grpc === true ? path : (readings?.[0] ?? path).slice(1);
    const verb = grpc === true ? "NONE" : method;
    this.#parts.log.warn("access control has denied a call", {
      caller: identity ?? "unknown: a call from another process proves no identity without mTLS",
      claimed: caller?.id,
      operation,
      verb,
    });
    throw new CallError(
      "PermissionDenied",
      `access control policy has denied access to id: ${identity ?? ""} operation: ${operation} verb: ${verb}`,
    );
  }

  async #deliver(channel: AppChannel, request: RequestMessage): Promise<ResponseMessage> {
    const { gate, health, limit } = this.#parts;
    let holdsSlot = false;
    this.#inFlight.enter();
    try {
      if (!gate.isOpen) await gate.pass(request.signal);
      if (health?.isHealthy === false) throw appUnhealthy();
      const turn = limit.acquire(request.signal);
      if (turn !== undefined) await turn;
      holdsSlot = true;
      const response = await channel.call(request);
      const answer = request.grpc === true ? withPreparedMetadata(response) : httpAnswer(response);
      // The slot is held, and the call under way, until the answer has been read to its end (A4).
      whenUsedUp(response.body, this.#end);
      return answer;
    } catch (error) {
      if (holdsSlot) limit.release();
      this.#inFlight.leave();
      throw error;
    }
  }
}

function httpAnswer(response: ResponseMessage): ResponseMessage {
  return withPreparedTrailers(withHeaders(response, responseHeadersFromApp(response.headers)));
}
