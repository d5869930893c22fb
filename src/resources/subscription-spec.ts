/** A `kind: Subscription` resource, v1alpha1 or v2alpha1, checked (A8). */
export interface SubscriptionSpec extends TopicSubscription {
  readonly name: string;
  readonly namespace: string | undefined;
  /** App ids; empty for all. */
  readonly scopes: readonly string[];
  readonly file: string;
  /** `file:line: path` of the `match` of one of its rules, for error texts. */
  placeOfRule(index: number): string;
}

/** What is subscribed to, and where its events go: as resources say it, and apps themselves. */
export interface TopicSubscription {
  /** The name of the component. */
  readonly pubsub: string;
  readonly topic: string;
  readonly metadata: ReadonlyMap<string, string>;
  /** Tried in their order; the first that matches has the event. */
  readonly rules: readonly RouteRule[];
  /** Where the events go that no rule matches; begins with a slash. Undefined: those are let go, or dead letters. */
  readonly defaultPath: string | undefined;
  readonly deadLetterTopic: string | undefined;
  /** Undefined: each event by itself. */
  readonly bulk: BulkSubscribeSpec | undefined;
}

export interface RouteRule {
  /** CEL over `event`. */
  readonly match: string;
  /** Begins with a slash. */
  readonly path: string;
}

export interface BulkSubscribeSpec {
  readonly maxMessages: number;
  /** Milliseconds. */
  readonly maxAwaitMs: number;
}

// daprd's (A8).
const DEFAULT_BULK: BulkSubscribeSpec = { maxMessages: 100, maxAwaitMs: 1000 };

/** Where the events of a subscription go. */
export type SubscriptionRoutes = Pick<TopicSubscription, "rules" | "defaultPath">;

/**
 * Routes as somebody has written them, who may leave out leading slashes. A rule with an empty match takes every event, so
 * that it is the default, and nothing gets to what stands behind it.
 *
 * @param defaultPath empty or undefined where there is none.
 */
export function routesFrom(rules: readonly RouteRule[], defaultPath: string | undefined): SubscriptionRoutes {
  const end = rules.findIndex(({ match }) => match.trim() === "");
  const reached = end === -1 ? rules : rules.slice(0, end);
  const rest = rules[end]?.path ?? (defaultPath === "" ? undefined : defaultPath);
  return {
    rules: reached.map(({ match, path }) => ({ match, path: asPath(path) })),
    defaultPath: rest === undefined ? undefined : asPath(rest),
  };
}

/** An empty route is the app's root. */
export function asPath(route: string): string {
  return route.startsWith("/") ? route : `/${route}`;
}

/** `bulkSubscribe` as apps and resources write it. */
export interface WrittenBulkSubscribe {
  readonly enabled?: boolean | undefined;
  readonly maxMessagesCount?: number | undefined;
  readonly maxAwaitDurationMs?: number | undefined;
}

/** 0 or less is the default, as is a number that is left out. */
export function bulkFrom(written: WrittenBulkSubscribe | undefined): BulkSubscribeSpec | undefined {
  if (written?.enabled !== true) return undefined;
  const { maxMessagesCount = 0, maxAwaitDurationMs = 0 } = written;
  return {
    maxMessages: maxMessagesCount > 0 ? maxMessagesCount : DEFAULT_BULK.maxMessages,
    maxAwaitMs: maxAwaitDurationMs > 0 ? maxAwaitDurationMs : DEFAULT_BULK.maxAwaitMs,
  };
}
