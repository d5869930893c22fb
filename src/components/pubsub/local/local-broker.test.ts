import { testPubSubContract } from "../../../../test/support/pubsub-contract.ts";
import { localManifest } from "./manifest.ts";

testPubSubContract("local", {
  create: (context) => localManifest.create(context),
  world: () => Promise.resolve({ fields: {} }),
  has: { durable: true, shared: true, wildcards: false, concurrent: true, counts: true, browses: true },
  slip: { written: "concurency", meant: "concurrency" },
  unusable: { concurrency: "0" },
});
