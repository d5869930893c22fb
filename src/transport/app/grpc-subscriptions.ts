import type { Logger } from "../../core/logger.ts";
import type { TopicSubscription as SaidSubscription } from "../../gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import { bulkFrom, type TopicSubscription } from "../../resources/subscription-spec.ts";

/** What an app answers to `ListTopicSubscriptions`. What cannot be is left out, and logged with its place in the list. */
export function subscriptionsSaidOverGrpc(
  list: readonly SaidSubscription[],
  log: Logger,
): readonly TopicSubscription[] {
  return list.flatMap((said, index) => {
    const { pubsubName: pubsub, topic } = said;
    if (pubsub !== "" && topic !== "") return [subscriptionOf(said)];
    const error = pubsub === "" ? "it has no pubsub_name" : `it has no topic of the pubsub ${pubsub}`;
    log.error("a subscription in the app's ListTopicSubscriptions is left out", { index, error });
    return [];
  });
}

/** Paths as the app wrote them, which compares them itself; one without routes has everything, under no path. */
function subscriptionOf(said: SaidSubscription): TopicSubscription {
  const rules = (said.routes?.rules ?? []).map(({ match, path }) => ({ match: match.trim(), path }));
  const path = said.routes?.default ?? "";
  return {
    pubsub: said.pubsubName,
    topic: said.topic,
    metadata: new Map(Object.entries(said.metadata)),
    rules,
    defaultPath: path === "" && rules.length > 0 ? undefined : path,
    deadLetterTopic: said.deadLetterTopic === "" ? undefined : said.deadLetterTopic,
    bulk: bulkFrom(said.bulkSubscribe),
  };
}
