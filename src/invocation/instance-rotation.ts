import type { AppInstance } from "../components/contract/name-resolver.ts";
import { type AppIdentity, qualifiedName } from "../core/app-id.ts";

// Enough for every app a sidecar is likely to call; beyond it, rotation merely starts again.
const MAX_APPS = 1000;

/** Spreads calls over the instances of each app: every call begins one further. */
export class InstanceRotation {
  readonly #turns = new Map<string, number>();

  /** The same instances, in the order in which this call should try them. */
  next(app: AppIdentity, instances: readonly AppInstance[]): readonly AppInstance[] {
    if (instances.length < 2) return instances;
    const key = qualifiedName(app);
    const turn = this.#turns.get(key) ?? 0;
    if (turn === 0 && this.#turns.size >= MAX_APPS) this.#turns.clear();
    this.#turns.set(key, turn + 1);
    const first = turn % instances.length;
    return [...instances.slice(first), ...instances.slice(0, first)];
  }
}
