import type { IncomingEvent } from "../components/contract/pubsub.ts";

/**
 * What `orderingKey` in the metadata of a subscription says: CEL over `event`.
 *
 * @param warn told once why an event has no key that should have one.
 * @returns undefined where the metadata has none.
 * @throws {Error} where it is no CEL expression.
 */
export function orderingKeyOf(
  _metadata: ReadonlyMap<string, string>,
  _warn: (why: string) => void,
): ((event: IncomingEvent) => string | undefined) | undefined {
  return undefined;
}
