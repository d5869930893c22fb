import type { AppInstance, NameResolver } from "../components/contract/name-resolver.ts";
import { type AppIdentity, qualifiedName } from "../core/app-id.ts";
import type { CallSignal } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";
import { CallError, messageOf } from "../core/errors.ts";
import type { RequestMessage, ResponseMessage } from "../core/message.ts";
import type { SpiffeId } from "../core/spiffe-id.ts";
import { matches } from "../resiliency/matching.ts";
import { RetriesExhausted, runWithRetries } from "../resiliency/retry-runner.ts";
import { DEFAULT_SERVICE_RETRIES } from "../resources/built-in-retries.ts";
import { InstanceRotation } from "./instance-rotation.ts";
import type { CallRules, Neighbour, Neighbours, PeerCaller } from "./ports.ts";
import { isUnavailable, mayRepeat, opened, type Replay, reachOf } from "./replay.ts";

export interface AppCallerParts {
  readonly self: AppIdentity;
  /** Who this sidecar's app is to its neighbours. */
  readonly identity: SpiffeId;
  readonly neighbours: Neighbours;
  readonly peers: PeerCaller;
  readonly resolver: NameResolver;
  readonly rules: Pick<CallRules, "policies">;
  readonly clock: Clock;
}

// daprd asks its resolver this often before it gives up on an app nobody knows (A2): it bridges a callee that starts.
const RESOLVE_TRIES = 6;
const RESOLVE_INTERVAL_MS = 100;

/** Calls other apps: finds their instances, takes them in turn, and has the built-in retries around that (A3). */
export class AppCaller {
  readonly #parts: AppCallerParts;
  readonly #rotation = new InstanceRotation();

  constructor(parts: AppCallerParts) {
    this.#parts = parts;
  }

  /** @throws {CallError} what the last try has failed with. */
  async call(callee: AppIdentity, replay: Replay): Promise<ResponseMessage> {
    const { policies } = this.#parts.rules;
    // Whoever has policies of its own for an app has thought of retries, too (A3).
    if (policies?.names({ kind: "app", name: callee.id, endpoint: "" }) === true) {
      return this.#callAnyInstance(callee, replay);
    }
    const { request } = replay;
    const policy = policies?.builtInServiceRetries ?? DEFAULT_SERVICE_RETRIES;
    let unavailable: CallError | undefined;
    let tries = 0;
    try {
      return await runWithRetries({
        policy,
        random: Math.random,
        clock: this.#parts.clock,
        signal: request.signal,
        attempt: () => {
          if (tries++ > 0) request.span?.event("retry", { "dapr.retry": tries - 1 });
          return this.#callAnyInstance(callee, replay);
        },
        mayRetry: (error) => {
          if (!isUnavailable(error) || !matches(policy, { protocol: "grpc", code: error.grpcCode })) return false;
          if (!mayRepeat(replay, reachOf(error))) return false;
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
  async #callAnyInstance(callee: AppIdentity, replay: Replay): Promise<ResponseMessage> {
    const instances = await this.#findInstances(callee, replay.request.signal);
    if (instances.length === 0) return this.#callLeavingNeighbour(callee, opened(replay));
    let failure: unknown;
    for (const instance of this.#rotation.next(callee, instances)) {
      try {
        return await this.#callInstance(instance, opened(replay));
      } catch (error) {
        if (!isUnavailable(error)) throw error;
        this.#parts.resolver.reportUnreachable(instance);
        if (!mayRepeat(replay, reachOf(error))) throw error;
        failure = error;
      }
    }
    throw failure;
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
}

class NoHostFound extends CallError {}
