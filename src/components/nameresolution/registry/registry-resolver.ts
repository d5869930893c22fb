import { type AppIdentity, qualifiedName } from "../../../core/app-id.ts";
import { messageOf } from "../../../core/errors.ts";
import type {
  Announcement,
  AppInstance,
  InstanceDetails,
  NameResolver,
  NameResolverContext,
} from "../../contract/name-resolver.ts";
import { identityOf } from "./process-identity.ts";
import { type RegistryEntry, RegistryStore, registryPathIn } from "./registry-store.ts";

// design.md: renewed every 3 s, lease 10 s. Two renewals may fail before an instance is given up.
const RENEW_MS = 3000;
const LEASE_MS = 10_000;
// How stale an answer may be. Reading the registry costs microseconds, looking whether a process lives costs more.
const CACHE_MS = 1000;
// How long an instance that could not be reached goes to the end of the queue.
const PENALTY_MS = 1000;

interface CachedAnswer {
  readonly instances: readonly AppInstance[];
  readonly readAt: number;
}

/** Finds the apps of every Outrigger process that shares this home directory. No server, no multicast. */
export class RegistryResolver implements NameResolver {
  readonly description: string;
  readonly staleMs = CACHE_MS;
  readonly #context: NameResolverContext;
  readonly #own = new Map<string, RegistryEntry>();
  readonly #cache = new Map<string, CachedAnswer>();
  readonly #penalties = new Map<string, number>();
  #store: RegistryStore | undefined;
  #renewal: NodeJS.Timeout | undefined;

  constructor(context: NameResolverContext) {
    this.#context = context;
    this.description = `the registry at ${registryPathIn(context.home)}`;
  }

  async start(): Promise<void> {
    const { home, log } = this.#context;
    this.#store = new RegistryStore(registryPathIn(home), (message) => {
      log.warn(message);
    });
    await this.#store.sweep(this.#context.clock.now());
    this.#renewal = setInterval(() => void this.#renew(), RENEW_MS);
    this.#renewal.unref();
  }

  async announce(instance: AppInstance, details: InstanceDetails): Promise<Announcement> {
    await this.#write({ instance, details, process: identityOf(details.pid), leaseUntilMs: this.#lease() });
    return {
      update: async (changes) => {
        const entry = this.#own.get(instance.instanceId);
        if (entry !== undefined) await this.#write({ ...entry, details: { ...entry.details, ...changes } });
      },
      withdraw: async () => {
        if (!this.#own.delete(instance.instanceId)) return;
        this.#cache.clear();
        await this.#store?.remove(instance);
      },
    };
  }

  resolve(app: AppIdentity): Promise<readonly AppInstance[]> {
    const key = qualifiedName(app);
    const now = this.#context.clock.monotonic();
    let answer = this.#cache.get(key);
    if (answer === undefined || now - answer.readAt > CACHE_MS) {
      const entries = this.#store?.instancesOf(app, this.#context.clock.now()) ?? [];
      answer = { instances: entries.map((entry) => entry.instance), readAt: now };
      // An app that nobody knows is not remembered: it may start any moment.
      if (entries.length > 0) this.#cache.set(key, answer);
      else this.#cache.delete(key);
    }
    return Promise.resolve(this.#reachable(answer.instances, now));
  }

  reportUnreachable(instance: AppInstance): void {
    this.#cache.delete(qualifiedName(instance.app));
    this.#penalties.set(instance.instanceId, this.#context.clock.monotonic() + PENALTY_MS);
  }

  async close(): Promise<void> {
    clearInterval(this.#renewal);
    const store = this.#store;
    this.#store = undefined;
    if (store === undefined) return;
    for (const entry of this.#own.values()) await store.remove(entry.instance);
    this.#own.clear();
    await store.close();
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

  async #write(entry: RegistryEntry): Promise<void> {
    this.#own.set(entry.instance.instanceId, entry);
    this.#cache.clear();
    await this.#store?.put([entry]);
  }

  async #renew(): Promise<void> {
    const store = this.#store;
    if (store === undefined) return;
    try {
      const renewed = [...this.#own.values()].map((entry) => ({ ...entry, leaseUntilMs: this.#lease() }));
      for (const entry of renewed) this.#own.set(entry.instance.instanceId, entry);
      if (renewed.length > 0) await store.put(renewed);
      await store.sweep(this.#context.clock.now());
    } catch (error) {
      // The next renewal may succeed; until the lease ends, others still find us.
      this.#context.log.error(`could not renew the entries in ${this.description}`, { error: messageOf(error) });
    }
  }

  #lease(): number {
    return this.#context.clock.now() + LEASE_MS;
  }
}
