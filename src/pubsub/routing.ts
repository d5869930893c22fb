import type { RouteRule, TopicSubscription } from "../resources/subscription-spec.ts";
import type { CloudEvent } from "./cloud-event.ts";

/** What a subscription's rules say of an event. */
export type Route =
  | { readonly kind: "path"; readonly path: string; readonly rule: RouteRule | undefined }
  /** No rule matches, and there is no default. */
  | { readonly kind: "none" }
  /** A rule failed, or is not a boolean: nothing behind it is looked at (design.md). */
  | { readonly kind: "broken"; readonly rule: RouteRule; readonly why: string };

/** What became of each rule, for a dry run. */
export interface RuleTrial {
  readonly match: string;
  readonly path: string;
  /** As CEL writes it: `true`, `"text"`; undefined where it is an error. */
  readonly value: string | undefined;
  readonly error: string | undefined;
}

/** The rules of one subscription, compiled. */
export class Routes {
  readonly #subscription: Pick<TopicSubscription, "rules" | "defaultPath">;

  /** @throws {RuleError} where a rule is no CEL expression. */
  constructor(subscription: Pick<TopicSubscription, "rules" | "defaultPath">) {
    this.#subscription = subscription;
  }

  routeOf(_event: CloudEvent): Route {
    const { defaultPath } = this.#subscription;
    return defaultPath === undefined ? { kind: "none" } : { kind: "path", path: defaultPath, rule: undefined };
  }

  /** All rules, those behind the first that matches too. */
  tryAll(_event: CloudEvent): readonly RuleTrial[] {
    return [];
  }
}

export class RuleError extends Error {
  override readonly name = "RuleError";

  /** @param index of the rule among the subscription's. */
  constructor(
    readonly index: number,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
