import { OutriggerError } from "../../../core/errors.ts";
import type { Logger } from "../../../core/logger.ts";
import { Dapr } from "../../../gen/dapr/proto/runtime/v1/dapr_pb.ts";
import type { GrpcRequest } from "../service.ts";
import { grpcError } from "../status.ts";
import { decode, type Method, unary } from "./methods.ts";

/** Publish and subscribe (seed 002), which no component is there for yet: each rpc says so in daprd's words. */
export function pubsubMethods(log: Logger): readonly Method[] {
  const { publishEvent, bulkPublishEvent, bulkPublishEventAlpha1, subscribeTopicEventsAlpha1 } = Dapr.method;
  return [
    unary(publishEvent, log, refuse),
    unary(bulkPublishEvent, log, refuse),
    unary(bulkPublishEventAlpha1, log, refuse),
    [subscribeTopicEventsAlpha1.name, subscribe],
  ];
}

function refuse({ pubsubName }: { readonly pubsubName: string }): never {
  if (pubsubName === "") {
    const resource = { type: "pubsub", name: "" };
    throw new OutriggerError("pubsubNameEmpty", "pubsub name is empty", { resource });
  }
  throw notFound(pubsubName);
}

/** UNKNOWN is what daprd says where the first message is not what it should be (observed/, SubscribeTopicEventsAlpha1). */
async function subscribe({ call }: GrpcRequest): Promise<void> {
  const { input } = Dapr.method.subscribeTopicEventsAlpha1;
  for await (const message of call.messages()) {
    const { subscribeTopicEventsRequestType: asked } = decode(input, message);
    if (asked.case !== "initialRequest") break;
    if (asked.value.pubsubName === "") throw grpcError("UNKNOWN", "pubsubName is required");
    if (asked.value.topic === "") throw grpcError("UNKNOWN", "topic is required");
    throw notFound(asked.value.pubsubName);
  }
  throw grpcError("UNKNOWN", "initial request is required");
}

/** daprd names the resource in other errors than this one. */
function notFound(name: string): OutriggerError {
  return new OutriggerError("pubsubNotFound", `pubsub ${name} is not found`);
}
