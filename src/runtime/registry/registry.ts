import type { AppInstance, InstanceRegistry } from "../../components/contract/name-resolver.ts";
import type { AppIdentity } from "../../core/app-id.ts";
import type { Clock } from "../../core/clock.ts";
import { messageOf } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import { identityOf, isWithinSight } from "./process-identity.ts";
import { type InstanceDetails, type RegistryEntry, RegistryStore, registryPathIn } from "./registry-store.ts";

// design.md: renewed every 3 s, lease 10 s. Two renewals may fail before an instance is given up.
const RENEW_MS = 3000;
const LEASE_MS = 10_000;

interface RegistryContext {
  /** Outrigger's home directory; exists, mode 0700. */
  readonly home: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** An instance's place in the registry. */
export interface Registration {
  /** Changes what the instance says of itself, for example once its app has a pid. */
  update(details: Partial<InstanceDetails>): Promise<void>;
  withdraw(): Promise<void>;
}

/**
 * Who runs under this home: every Sidecar is in it, whichever name resolver its calls use, for `outrigger list` and
 * `stop` to find. The resolver `registry` looks here too. No server, no multicast.
 *
 * `close` may be called twice and after a failed `start`.
 */
export class Registry implements InstanceRegistry {
  readonly description: string;
  readonly #context: RegistryContext;
  readonly #own = new Map<string, RegistryEntry>();
  #store: RegistryStore | undefined;
  #renewal: NodeJS.Timeout | undefined;

  constructor(context: RegistryContext) {
    this.#context = context;
    this.description = `the registry at ${registryPathIn(context.home)}`;
  }

  /** @throws {SetupError} naming the path, where the registry cannot be opened. */
  async start(): Promise<void> {
    this.#store = this.#openStore();
    await this.#store.sweep(this.#context.clock.now());
    this.#renewal = setInterval(() => void this.#renew(), RENEW_MS);
    this.#renewal.unref();
  }

  async register(instance: AppInstance, details: InstanceDetails): Promise<Registration> {
    await this.#write({ instance, details, process: identityOf(details.pid), leaseUntilMs: this.#lease() });
    return {
      update: async (changes) => {
        const entry = this.#own.get(instance.instanceId);
        if (entry !== undefined) await this.#write({ ...entry, details: { ...entry.details, ...changes } });
      },
      withdraw: async () => {
        if (this.#own.delete(instance.instanceId)) await this.#store?.remove(instance);
      },
    };
  }

  instancesOf(app: AppIdentity): readonly AppInstance[] {
    const entries = this.#store?.instancesOf(app, this.#context.clock.now()) ?? [];
    // Whether one of another pid namespace still runs cannot be known: its port may be somebody else's by now.
    return entries.map(({ instance, process }) =>
      isWithinSight(process) ? instance : { ...instance, wire: "unproven" },
    );
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

  async #write(entry: RegistryEntry): Promise<void> {
    this.#own.set(entry.instance.instanceId, entry);
    await this.#store?.put([entry]);
  }

  #openStore(): RegistryStore {
    const { home, log } = this.#context;
    return new RegistryStore(registryPathIn(home), (message) => {
      log.warn(message);
    });
  }

  async #renew(): Promise<void> {
    try {
      if (this.#store?.isAbandoned === true) await this.#moveToNewStore(this.#store);
      const store = this.#store;
      if (store === undefined) return;
      const renewed = [...this.#own.values()].map((entry) => ({ ...entry, leaseUntilMs: this.#lease() }));
      for (const entry of renewed) this.#own.set(entry.instance.instanceId, entry);
      if (renewed.length > 0) await store.put(renewed);
      await store.sweep(this.#context.clock.now());
    } catch (error) {
      // The next renewal may succeed; until the lease ends, others still find us.
      this.#context.log.error(`could not renew the entries in ${this.description}`, { error: messageOf(error) });
    }
  }

  /** Whoever found the registry damaged has begun a new one, where this process has to be as well. */
  async #moveToNewStore(abandoned: RegistryStore): Promise<void> {
    this.#store = this.#openStore();
    this.#context.log.warn(`${this.description} was begun anew by another process; its entries move there`);
    await abandoned.close();
  }

  #lease(): number {
    return this.#context.clock.now() + LEASE_MS;
  }
}
