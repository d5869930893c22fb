import type { IncomingEvent } from "../components/contract/pubsub.ts";
import { messageOf } from "../core/errors.ts";
import type { TopicSubscription } from "../resources/subscription-spec.ts";
import type { CloudEvent } from "./cloud-event.ts";
import { type EventExpressions, ORDERING_KEY } from "./event-expressions.ts";
import { eventReader } from "./event-reader.ts";

/**
 * What `orderingKey` in the metadata of a subscription says: CEL over `event`. A string, a number or a boolean is a key; null,
 * anything else and an error is none.
 *
 * @param warn told once why an event has no key that should have one.
 * @param expressions as `eventExpressionsFor` gives them.
 * @returns undefined where the metadata has none. What is returned never throws.
 * @throws {Error} where it is no CEL expression.
 */
export function orderingKeyOf(
  subscription: Pick<TopicSubscription, "metadata" | "pubsub">,
  warn: (why: string) => void,
  expressions?: EventExpressions,
): ((event: IncomingEvent) => string | undefined) | undefined {
  const text = subscription.metadata.get(ORDERING_KEY);
  if (text === undefined) return undefined;
  if (expressions === undefined) throw new Error(`${ORDERING_KEY}: nothing was loaded that reads it`);
  const evaluate = compiled(text, expressions);
  const read = eventReader(subscription);
  let isTold = false;
  const keyOrWhy = (event: IncomingEvent): { readonly key: string } | { readonly why: string } => {
    let cloudEvent: CloudEvent;
    try {
      cloudEvent = read(event);
    } catch (error) {
      return { why: `cannot be asked of what is no CloudEvent: ${messageOf(error)}` };
    }
    const outcome = evaluate(cloudEvent);
    if ("error" in outcome) return { why: `failed: ${outcome.error}` };
    const { value } = outcome;
    const isKey = ["string", "number", "bigint", "boolean"].includes(typeof value);
    return isKey
      ? { key: String(value) }
      : { why: `is ${expressions.show(value)}; a key is a string, a number or a boolean` };
  };
  return (event) => {
    const found = keyOrWhy(event);
    if ("key" in found) return found.key;
    if (!isTold) warn(`event ${event.id} of ${event.topic}: ${ORDERING_KEY} "${text}" ${found.why}`);
    isTold = true;
    return undefined;
  };
}

function compiled(text: string, expressions: EventExpressions): ReturnType<EventExpressions["compile"]> {
  try {
    return expressions.compile(text);
  } catch (cause) {
    throw new Error(`${ORDERING_KEY}: ${messageOf(cause)}`, { cause });
  }
}
