import type { MessageInitShape } from "@bufbuild/protobuf";
import type { EmptySchema } from "@bufbuild/protobuf/wkt";
import type { Logger } from "../../../core/logger.ts";
import { Dapr } from "../../../gen/dapr/proto/runtime/v1/dapr_pb.ts";
import type {
  BulkPublishRequest,
  BulkPublishResponseSchema,
  PublishEventRequest,
} from "../../../gen/dapr/proto/runtime/v1/pubsub_pb.ts";
import { publishFailed, pubsubNameEmpty, pubsubNotFound } from "../../../pubsub/publish-errors.ts";
import { bulkFailure, type Publisher, type PublishTarget } from "../../../pubsub/publisher.ts";
import type { GrpcRequest } from "../service.ts";
import { type Method, unary } from "./methods.ts";

/** Publishing (seed 002). @param publisher undefined where there is no pub/sub component. */
export function pubsubMethods(publisher: Publisher | undefined, log: Logger): readonly Method[] {
  const { publishEvent, bulkPublishEvent, bulkPublishEventAlpha1 } = Dapr.method;
  const bulk = (message: BulkPublishRequest, request: GrpcRequest): Promise<BulkPublishResponse> =>
    publishBulk(publisher, message, request);
  return [
    unary(publishEvent, log, (message, request) => publish(publisher, message, request)),
    unary(bulkPublishEvent, log, bulk),
    unary(bulkPublishEventAlpha1, log, bulk),
  ];
}

type BulkPublishResponse = MessageInitShape<typeof BulkPublishResponseSchema>;

async function publish(
  publisher: Publisher | undefined,
  message: PublishEventRequest,
  request: GrpcRequest,
): Promise<MessageInitShape<typeof EmptySchema>> {
  const target = targetOf(message, request);
  const { data, dataContentType: contentType } = message;
  await existing(publisher, target).publish(target, { data, contentType });
  return {};
}

/** As in daprd, one event that was not taken is an error of the whole call: there is no list of them then (A7). */
async function publishBulk(
  publisher: Publisher | undefined,
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
  const failed = await existing(publisher, target).publishBulk(target, entries);
  if (failed.length > 0) throw publishFailed(target, bulkFailure(failed));
  return {};
}

function targetOf(
  { pubsubName: pubsub, topic, metadata }: PublishEventRequest | BulkPublishRequest,
  { call, trace }: GrpcRequest,
): PublishTarget {
  return { pubsub, topic, metadata: new Map(Object.entries(metadata)), trace, signal: call.signal };
}

function existing(publisher: Publisher | undefined, { pubsub, metadata }: PublishTarget): Publisher {
  if (publisher !== undefined) return publisher;
  throw pubsub === "" ? pubsubNameEmpty(metadata) : pubsubNotFound(pubsub, metadata);
}
