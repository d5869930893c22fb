import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Logger } from "../../../core/logger.ts";
import { Dapr } from "../../../gen/dapr/proto/runtime/v1/dapr_pb.ts";
import {
  ActorRuntime_ActorRuntimeStatus as ActorRuntimeStatus,
  type GetMetadataResponseSchema,
  type PubsubSubscriptionSchema,
  PubsubSubscriptionType,
} from "../../../gen/dapr/proto/runtime/v1/metadata_pb.ts";
import type { MetadataSource, SidecarDescription, SubscriptionDescription } from "../../http/routes/metadata.ts";
import { type Method, unary } from "./methods.ts";

/** What `/v1.0/metadata` shows and changes (A9). */
export function metadataMethods(source: MetadataSource, log: Logger): readonly Method[] {
  return [
    unary(Dapr.method.getMetadata, log, () => metadataOf(source.describe())),
    unary(Dapr.method.setMetadata, log, ({ key, value }) => {
      source.setExtended(key, value);
      return {};
    }),
  ];
}

function metadataOf(described: SidecarDescription): MessageInitShape<typeof GetMetadataResponseSchema> {
  const { id, runtimeVersion, components = [], extended, subscriptions = [], httpEndpoints = [] } = described;
  const { appConnectionProperties: app, actorRuntime } = described;
  const { port = 0, protocol, channelAddress, maxConcurrency = 0, health } = app;
  return {
    id,
    runtimeVersion,
    registeredComponents: components.map(({ capabilities = [], ...component }) => ({
      ...component,
      capabilities: [...capabilities],
    })),
    extendedMetadata: extended,
    subscriptions: subscriptions.map(subscriptionOf),
    httpEndpoints: [...httpEndpoints],
    appConnectionProperties: {
      port,
      protocol,
      channelAddress,
      maxConcurrency,
      ...(health === undefined ? {} : { health }),
    },
    actorRuntime: { ...actorRuntime, runtimeStatus: ActorRuntimeStatus[actorRuntime.runtimeStatus] },
    // As daprd, whose clients look whether it is there; over HTTP it is not.
    workflows: {},
  };
}

function subscriptionOf(described: SubscriptionDescription): MessageInitShape<typeof PubsubSubscriptionSchema> {
  const { pubsubname, topic, metadata = {}, rules, deadLetterTopic, type } = described;
  return {
    pubsubName: pubsubname,
    topic,
    metadata,
    rules: { rules: rules.map(({ match = "", path = "" }) => ({ match, path })) },
    deadLetterTopic,
    type: PubsubSubscriptionType[type],
  };
}
