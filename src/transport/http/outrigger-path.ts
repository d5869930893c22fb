/** What a route of Outrigger's own does (docs/extensions.md). */
export type OutriggerOperation =
  | "GetPubSub"
  | "ListDeadLetterTopics"
  | "DryRunEvent"
  | "ListEvents"
  | "GetEvent"
  | "RemoveEvent"
  | "ReplayEvent";

/** A request to one of them. */
export interface OutriggerPath {
  readonly operation: OutriggerOperation;
  /** The path with the names of its parts in place of what they are: metrics would have a value for each event's id. */
  readonly template: string;
  /** `pubsub`, `topic` and `id`, as sent, where the route has them. */
  readonly params: Readonly<Record<string, string>>;
}

/** What they begin with. */
export const OUTRIGGER_PREFIX = "/outrigger/v1/";

interface OutriggerRoute extends Omit<OutriggerPath, "params"> {
  readonly method: string;
  readonly pattern: RegExp;
}

/** @param template under the prefix. As in Dapr's publish, a topic may have slashes in it; all else is one segment. */
function route(method: string, template: string, operation: OutriggerOperation): OutriggerRoute {
  const parts = template.replaceAll(
    /\{(\w+)\}/g,
    (_, name: string) => `(?<${name}>${name === "topic" ? "." : "[^/]"}+)`,
  );
  return { method, template: OUTRIGGER_PREFIX + template, pattern: new RegExp(`^${parts}$`), operation };
}

const ROUTES: readonly OutriggerRoute[] = [
  route("GET", "pubsub", "GetPubSub"),
  route("GET", "dead-letters", "ListDeadLetterTopics"),
  route("POST", "pubsub/{pubsub}/{topic}/dry-run", "DryRunEvent"),
  route("GET", "pubsub/{pubsub}/{topic}/events", "ListEvents"),
  route("GET", "pubsub/{pubsub}/{topic}/events/{id}", "GetEvent"),
  route("DELETE", "pubsub/{pubsub}/{topic}/events/{id}", "RemoveEvent"),
  route("POST", "pubsub/{pubsub}/{topic}/events/{id}/replay", "ReplayEvent"),
];

/** Undefined for what is none of these routes. @param path the routing path. */
export function outriggerPathOf(method: string, path: string): OutriggerPath | undefined {
  if (!path.startsWith(OUTRIGGER_PREFIX)) return undefined;
  const rest = path.slice(OUTRIGGER_PREFIX.length);
  for (const { pattern, operation, template, ...of } of ROUTES) {
    const match = of.method === method ? pattern.exec(rest) : null;
    if (match !== null) return { operation, template, params: { ...match.groups } };
  }
  return undefined;
}
