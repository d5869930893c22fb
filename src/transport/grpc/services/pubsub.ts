import type { MessageInitShape } from "@bufbuild/protobuf";
import type { EmptySchema } from "@bufbuild/protobuf/wkt";
import type { Logger } from "../../../core/logger.ts";
import { Dapr } from "../../../gen/dapr/proto/runtime/v1/dapr_pb.ts";
import type {
  BulkPublishRequest,
  BulkPublishResponseSchema,
  PublishEventRequest,
} from "../../../gen/dapr/proto/runtime/v1/pubsub_pb.ts";
import { publishFailed } from "../../../pubsub/publish-errors.ts";
import { bulkFailure, type Publisher, type PublishTarget } from "../../../pubsub/publisher.ts";
import type { Subscriptions } from "../../../pubsub/subscriptions.ts";
import type { HealthSource } from "../../http/routes/health.ts";
import type { GrpcRequest } from "../service.ts";
import { type Method, unary } from "./methods.ts";
import { subscribeTopicEvents } from "./subscribe-topic-events.ts";

export interface PubSubParts {
  readonly publisher: Publisher;
  readonly subscriptions: Pick<Subscriptions, "stream">;
  readonly health: HealthSource;
  readonly log: Logger;
}

/** Publish and subscribe (seed 002). */
export function pubsubMethods({ publisher, subscriptions, health: ending, log }: PubSubParts): readonly Method[] {
  const { publishEvent, bulkPublishEvent, bulkPublishEventAlpha1 } = Dapr.method;
  const bulk = (message: BulkPublishRequest, request: GrpcRequest): Promise<BulkPublishResponse> =>
    publishBulk(publisher, message, request);
  return [
    unary(publishEvent, log, (message, request) => publish(publisher, message, request)),
    unary(bulkPublishEvent, log, bulk),
    unary(bulkPublishEventAlpha1, log, bulk),
    subscribeTopicEvents({ subscriptions, ending, log }),
  ];
}

type BulkPublishResponse = MessageInitShape<typeof BulkPublishResponseSchema>;

async function publish(
  publisher: Publisher,
  message: PublishEventRequest,
  request: GrpcRequest,
): Promise<MessageInitShape<typeof EmptySchema>> {
  const target = targetOf(message, request);
  const { data, dataContentType: contentType } = message;
  await publisher.publish(target, { data, contentType });
  return {};
}

/** As in daprd, one event that was not taken is an error of the whole call: there is no list of them then (A7). */
async function publishBulk(
  publisher: Publisher,
  message: BulkPublishRequest,
  request: GrpcRequest,
): Promise<BulkPublishResponse> {
  const target = targetOf(message, request);
  const entries = message.entries.map(({ entryId, event, contentType, metadata }) => ({
    entryId,
    data: event,
    contentType,
    metadata: new Map(Object.entries(metadata)),
  }));
  const failed = await publisher.publishBulk(target, entries);
  if (failed.length > 0) throw publishFailed(target, bulkFailure(failed));
  return {};
}

function targetOf(
  { pubsubName: pubsub, topic, metadata }: PublishEventRequest | BulkPublishRequest,
  { call, trace }: GrpcRequest,
): PublishTarget {
  return { pubsub, topic, metadata: new Map(Object.entries(metadata)), trace, signal: call.signal };
}
