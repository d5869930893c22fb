import { type AppIdentity, qualifiedName } from "../../../core/app-id.ts";
import type { Announcement, AppInstance, NameResolver, NameResolverContext } from "../../contract/name-resolver.ts";
import type { StaticAddress, StaticTable } from "./static-table.ts";

// How long an address that could not be reached is left out, unless there is no other.
const PENALTY_MS = 1000;
// Enough for every app a sidecar is likely to call by a name without a namespace; beyond it, they are made anew.
const MAX_KNOWN = 1000;

/**
 * Finds apps where a table in the Configuration says they are. Who is listed need not run, nor be who is meant: what
 * answers has to prove that it is the sidecar of the app.
 */
export class StaticResolver implements NameResolver {
  readonly description: string;
  /** Nothing is ever taken out of a table, so there is no use in waiting for others to notice. */
  readonly staleMs = 0;
  readonly worthAskingAgain = false;
  readonly #table: StaticTable;
  readonly #context: Pick<NameResolverContext, "clock" | "hosts">;
  readonly #known = new Map<string, readonly AppInstance[]>();
  readonly #penalties = new Map<AppInstance, number>();

  constructor(table: StaticTable, context: Pick<NameResolverContext, "clock" | "hosts">) {
    this.#table = table;
    this.#context = context;
    this.description = table.description;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  /** A table is made by people; nothing is added to it. */
  announce(): Promise<Announcement> {
    return Promise.resolve({ withdraw: () => Promise.resolve() });
  }

  /** Empty where this process runs the app: a table does not say which instance it means, and that one is called here. */
  resolve(app: AppIdentity): Promise<readonly AppInstance[]> {
    if (this.#context.hosts(app)) return Promise.resolve([]);
    const name = qualifiedName(app);
    let instances = this.#known.get(name);
    if (instances === undefined) {
      instances = this.#instancesOf(app, name);
      if (this.#known.size >= MAX_KNOWN) this.#known.clear();
      this.#known.set(name, instances);
    }
    return Promise.resolve(this.#penalties.size === 0 ? instances : this.#reachable(instances));
  }

  reportUnreachable(instance: AppInstance): void {
    this.#penalties.set(instance, this.#context.clock.monotonic() + PENALTY_MS);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** An entry with the namespace in its name holds before one without. */
  #instancesOf(app: AppIdentity, name: string): readonly AppInstance[] {
    const { addresses } = this.#table;
    return (addresses.get(name) ?? addresses.get(app.id) ?? []).map((address) => toInstance(app, address));
  }

  #reachable(instances: readonly AppInstance[]): readonly AppInstance[] {
    const now = this.#context.clock.monotonic();
    for (const [instance, until] of this.#penalties) {
      if (until <= now) this.#penalties.delete(instance);
    }
    const reachable = instances.filter((instance) => !this.#penalties.has(instance));
    return reachable.length > 0 ? reachable : instances;
  }
}

function toInstance(app: AppIdentity, { host, port }: StaticAddress): AppInstance {
  return { app, instanceId: `static ${host} ${port}`, host, port, wire: "unproven" };
}
