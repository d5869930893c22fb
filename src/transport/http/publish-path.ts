import { queryUnescaped } from "./query-unescape.ts";

/** What a request publishes to. */
export interface PublishPath {
  readonly pubsub: string;
  readonly topic: string;
  readonly isBulk: boolean;
}

const SINGLE = "/v1.0/publish/";
// With one segment behind it, the first of these is a topic of a component named `bulk`, as in daprd's router.
const BULK = ["/v1.0/publish/bulk/", "/v1.0-alpha1/publish/bulk/"];

/**
 * Undefined for what is no route of publishing: another verb, and what names no component or no topic (A7).
 *
 * @param route the routing path.
 */
export function publishPathOf(method: string, route: string): PublishPath | undefined {
  if ((method !== "POST" && method !== "PUT") || !route.startsWith("/v1.0")) return undefined;
  const bulk = BULK.find((prefix) => route.startsWith(prefix));
  const named = bulk === undefined ? undefined : namesIn(route.slice(bulk.length));
  if (named !== undefined) return { ...named, isBulk: true };
  const single = route.startsWith(SINGLE) ? namesIn(route.slice(SINGLE.length)) : undefined;
  return single === undefined ? undefined : { ...single, isBulk: false };
}

const METADATA_PREFIX = "metadata.";

/** What a request says beside its event, `metadata.<name>=` of the query; the first value of each, as daprd takes it (A7). */
export function publishMetadataOf(query: string | undefined): ReadonlyMap<string, string> {
  const metadata = new Map<string, string>();
  if (query === undefined) return metadata;
  for (const [name, value] of new URLSearchParams(query)) {
    const key = name.startsWith(METADATA_PREFIX) ? name.slice(METADATA_PREFIX.length) : "";
    if (key !== "" && !metadata.has(key)) metadata.set(key, value);
  }
  return metadata;
}

function namesIn(rest: string): { readonly pubsub: string; readonly topic: string } | undefined {
  const slash = rest.indexOf("/");
  if (slash < 1 || slash === rest.length - 1) return undefined;
  return { pubsub: queryUnescaped(rest.slice(0, slash)), topic: queryUnescaped(rest.slice(slash + 1)) };
}
