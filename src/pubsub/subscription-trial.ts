import type { CloudEvent } from "./cloud-event.ts";
import type { EventExpressions } from "./event-expressions.ts";
import { Routes } from "./routing.ts";
import type { ActiveSubscription, SubscriptionTrial } from "./subscriptions.ts";

/** What a subscription would do with an event. */
export function trialOf(
  active: ActiveSubscription,
  event: CloudEvent,
  expressions: EventExpressions | undefined,
): SubscriptionTrial {
  const routes = new Routes(active.subscription, expressions);
  const rules = routes.tryAll(event);
  const route = routes.routeOf(event);
  if (route.kind === "path") return { ...active, rules, path: route.path, why: undefined };
  const why = route.kind === "none" ? "no rule matches, and there is no default route" : route.why;
  return { ...active, rules, path: undefined, why };
}
