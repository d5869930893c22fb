import { messageOf } from "../core/errors.ts";
import type { RouteRule, TopicSubscription } from "../resources/subscription-spec.ts";
import type { CloudEvent } from "./cloud-event.ts";
import { type EventExpression, type EventExpressions, isAlways } from "./event-expressions.ts";

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

interface CompiledRule {
  readonly rule: RouteRule;
  readonly route: Route;
  /** Undefined: it always matches. */
  readonly expression: EventExpression | undefined;
}

/** The rules of one subscription, compiled. */
export class Routes {
  readonly #rules: readonly CompiledRule[];
  readonly #default: Route;
  readonly #expressions: EventExpressions | undefined;

  /**
   * @param expressions as `eventExpressionsFor` gives them: undefined where no rule says anything.
   * @throws {RuleError} where a rule is no CEL expression.
   */
  constructor(
    { rules, defaultPath: path }: Pick<TopicSubscription, "rules" | "defaultPath">,
    expressions?: EventExpressions,
  ) {
    this.#expressions = expressions;
    this.#rules = rules.map((rule, index) => compiled(rule, index, expressions));
    this.#default = path === undefined ? { kind: "none" } : { kind: "path", path, rule: undefined };
  }

  /** Never throws. */
  routeOf(event: CloudEvent): Route {
    for (const { rule, route, expression } of this.#rules) {
      if (expression === undefined) return route;
      const outcome = expression(event);
      if ("error" in outcome) return { kind: "broken", rule, why: `rule ${quoted(rule)} failed: ${outcome.error}` };
      if (outcome.value === true) return route;
      if (outcome.value !== false) {
        return { kind: "broken", rule, why: `rule ${quoted(rule)} ${this.#whyNoBoolean(outcome.value)}` };
      }
    }
    return this.#default;
  }

  /** All rules, those behind the first that matches too. */
  tryAll(event: CloudEvent): readonly RuleTrial[] {
    return this.#rules.map(({ rule, expression }) => {
      const { match, path } = rule;
      if (expression === undefined) return { match, path, value: "true", error: undefined };
      const outcome = expression(event);
      if ("error" in outcome) return { match, path, value: undefined, error: outcome.error };
      const { value } = outcome;
      if (typeof value !== "boolean")
        return { match, path, value: undefined, error: `it ${this.#whyNoBoolean(value)}` };
      return { match, path, value: `${value}`, error: undefined };
    });
  }

  #whyNoBoolean(value: unknown): string {
    const expressions = this.#expressions;
    const what =
      expressions === undefined ? "something else" : `${expressions.show(value)}, a ${expressions.typeOf(value)}`;
    return `is neither true nor false: it is ${what}`;
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

function compiled(rule: RouteRule, index: number, expressions: EventExpressions | undefined): CompiledRule {
  const route: Route = { kind: "path", path: rule.path, rule };
  if (isAlways(rule.match)) return { rule, route, expression: undefined };
  if (expressions === undefined)
    throw new RuleError(index, `rule ${quoted(rule)}: nothing was loaded that reads rules`);
  try {
    return { rule, route, expression: expressions.compile(rule.match) };
  } catch (cause) {
    throw new RuleError(index, `the rule for ${rule.path}: ${messageOf(cause)}`, { cause });
  }
}

function quoted({ match }: RouteRule): string {
  return `"${match}"`;
}
