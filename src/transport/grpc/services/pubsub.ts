import { OutriggerError } from "../../../core/errors.ts";
import type { Logger } from "../../../core/logger.ts";
import { Dapr } from "../../../gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { type Method, unary } from "./methods.ts";
import { subscribeTopicEvents } from "./subscribe-topic-events.ts";

/** Publish and subscribe (seed 002), which no component is there for yet: each rpc says so in daprd's words. */
export function pubsubMethods(log: Logger): readonly Method[] {
  const { publishEvent, bulkPublishEvent, bulkPublishEventAlpha1, subscribeTopicEventsAlpha1 } = Dapr.method;
  return [
    unary(publishEvent, log, refuse),
    unary(bulkPublishEvent, log, refuse),
    unary(bulkPublishEventAlpha1, log, refuse),
    [subscribeTopicEventsAlpha1.name, subscribeTopicEvents],
  ];
}

function refuse({ pubsubName }: { readonly pubsubName: string }): never {
  if (pubsubName === "") {
    const resource = { type: "pubsub", name: "" };
    throw new OutriggerError("pubsubNameEmpty", "pubsub name is empty", { resource });
  }
  // daprd names the resource in other errors than this one.
  throw new OutriggerError("pubsubNotFound", `pubsub ${pubsubName} is not found`);
}
