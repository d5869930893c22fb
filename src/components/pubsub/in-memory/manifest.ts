import type { PubSubManifest } from "../../contract/pubsub.ts";
import { InMemoryPubSub } from "./in-memory-pubsub.ts";

export const inMemoryManifest = {
  type: "pubsub.in-memory",
  create: (context) => new InMemoryPubSub(context),
} satisfies PubSubManifest;
