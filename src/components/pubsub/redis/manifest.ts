import type { PubSubManifest } from "../../contract/pubsub.ts";
import { RedisPubSub } from "./redis-pubsub.ts";

export const redisManifest = {
  type: "pubsub.redis",
  create: (context) => new RedisPubSub(context),
} satisfies PubSubManifest;
