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
export const DEFAULT_BULK: BulkSubscribeSpec = { maxMessages: 100, maxAwaitMs: 1000 };
