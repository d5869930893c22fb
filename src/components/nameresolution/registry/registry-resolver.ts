import { type AppIdentity, qualifiedName } from "../../../core/app-id.ts";
import type { Announcement, AppInstance, NameResolver, NameResolverContext } from "../../contract/name-resolver.ts";

// How stale an answer may be. Reading the registry costs microseconds, looking whether a process lives costs more.
const CACHE_MS = 1000;
// How long an instance that could not be reached goes to the end of the queue.
const PENALTY_MS = 1000;

interface CachedAnswer {
  readonly instances: readonly AppInstance[];
  readonly readAt: number;
}

/** Finds the apps of every Outrigger process that shares this home directory. */
export class RegistryResolver implements NameResolver {
  readonly description: string;
  readonly staleMs = CACHE_MS;
  readonly worthAskingAgain = true;
  readonly #context: NameResolverContext;
  readonly #cache = new Map<string, CachedAnswer>();
  readonly #penalties = new Map<string, number>();

  constructor(context: NameResolverContext) {
    this.#context = context;
    this.description = context.registry.description;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  /** The registry has every instance already. */
  announce(): Promise<Announcement> {
    this.#cache.clear();
    return Promise.resolve({
      withdraw: () => {
        this.#cache.clear();
        return Promise.resolve();
      },
    });
  }

  resolve(app: AppIdentity): Promise<readonly AppInstance[]> {
    const key = qualifiedName(app);
    const now = this.#context.clock.monotonic();
    let answer = this.#cache.get(key);
    if (answer === undefined || now - answer.readAt > CACHE_MS) {
      answer = { instances: this.#context.registry.instancesOf(app), readAt: now };
      // An app that nobody knows is not remembered: it may start any moment.
      if (answer.instances.length > 0) this.#cache.set(key, answer);
      else this.#cache.delete(key);
    }
    return Promise.resolve(this.#reachable(answer.instances, now));
  }

  reportUnreachable(instance: AppInstance): void {
    this.#cache.delete(qualifiedName(instance.app));
    this.#penalties.set(instance.instanceId, this.#context.clock.monotonic() + PENALTY_MS);
  }

  close(): Promise<void> {
    this.#cache.clear();
    return Promise.resolve();
  }

  /** Leaves out what could not be reached a moment ago, unless nothing else is left. */
  #reachable(instances: readonly AppInstance[], now: number): readonly AppInstance[] {
    if (this.#penalties.size === 0) return instances;
    for (const [instanceId, until] of this.#penalties) {
      if (until <= now) this.#penalties.delete(instanceId);
    }
    const reachable = instances.filter((instance) => !this.#penalties.has(instance.instanceId));
    return reachable.length > 0 ? reachable : instances;
  }
}
