import { OutriggerError } from "../../../core/errors.ts";
import { Dapr } from "../../../gen/dapr/proto/runtime/v1/dapr_pb.ts";
import type { GrpcRequest } from "../service.ts";
import { grpcError } from "../status.ts";
import { decode } from "./methods.ts";

/** UNKNOWN is what daprd says where the first message is not what it should be (observed/, SubscribeTopicEventsAlpha1). */
export async function subscribeTopicEvents({ call }: GrpcRequest): Promise<void> {
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
