import type { TopicSubscription } from "../resources/subscription-spec.ts";
import type { CloudEvent } from "./cloud-event.ts";

/** CEL over `event`, as rules and ordering keys say it. What reads it takes 60 ms and 9 MB to load, so that it comes from outside. */
export interface EventExpressions {
  /** @throws {Error} in words for its author, where it is no CEL expression, or calls a function that there is not. */
  compile(expression: string): EventExpression;
  /** A value as CEL writes it: `true`, `"text"`, `9.0`. Long ones are cut. */
  show(value: unknown): string;
  /** `bool`, `string`, `double`, … */
  typeOf(value: unknown): string;
}

/** Never throws. */
export type EventExpression = (event: CloudEvent) => Evaluated;

export type Evaluated = { readonly value: unknown } | { readonly error: string };

/** The metadata of a subscription that is CEL. */
export const ORDERING_KEY = "orderingKey";

/** @returns undefined where none of the subscriptions has any CEL in it. */
export async function eventExpressionsFor(
  subscriptions: Iterable<Pick<TopicSubscription, "rules" | "metadata">>,
): Promise<EventExpressions | undefined> {
  for (const { rules, metadata } of subscriptions) {
    if (!metadata.has(ORDERING_KEY) && rules.every(({ match }) => isAlways(match))) continue;
    const { CelExpressions } = await import("./cel-expressions.ts");
    return new CelExpressions();
  }
  return undefined;
}

/** An empty `match` is no expression, and always matches (A8). */
export function isAlways(match: string): boolean {
  return match.trim() === "";
}
