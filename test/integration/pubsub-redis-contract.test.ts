import { redisManifest } from "../../src/components/pubsub/redis/manifest.ts";
import { testPubSubContract } from "../support/pubsub-contract.ts";
import { startRedis } from "../support/redis-server.ts";

testPubSubContract("redis", {
  create: (context) => redisManifest.create(context),
  world: async (t) => {
    const { host } = await startRedis(t);
    const soon = { processingTimeout: "600ms", redeliverInterval: "200ms" };
    // A member that takes all there is leaves the others idle.
    return { fields: { redisHost: host, queueDepth: "20", ...soon } };
  },
  has: { durable: true, shared: true, wildcards: false, concurrent: true, counts: true, browses: true },
  slip: { written: "redisHots", meant: "redisHost" },
  unusable: { redisHost: "127.0.0.1:1" },
});
