const CATEGORIES: readonly (readonly [prefix: string, category: string])[] = [
  ["ERR_DIRECT_INVOKE", "service-invocation"],
  ["ERR_PUBSUB_", "pubsub"],
  ["ERR_STATE_STORE_", "state"],
  ["ERR_HEALTH_", "health"],
  ["ERR_OUTBOUND_HEALTH_", "health"],
];

/** daprd's category of an error's code (docs.dapr.io, "Error codes"). */
export function categoryOf(errorCode: string): string {
  return CATEGORIES.find(([prefix]) => errorCode.startsWith(prefix))?.[1] ?? "common";
}
