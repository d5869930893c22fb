import type { PubSubManifest } from "../../contract/pubsub.ts";
import { LocalBroker } from "./local-broker.ts";

export const localManifest = {
  type: "pubsub.local",
  create: (context) => new LocalBroker(context),
} satisfies PubSubManifest;
