import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { anApp } from "../../test/support/name-resolver-contract.ts";
import { goJson } from "../core/go-json.ts";
import type { TopicSubscription } from "../resources/subscription-spec.ts";
import { type MetadataParts, SidecarMetadata } from "./sidecar-metadata.ts";

/** What `/v1.0/metadata` tells of pub/sub, as a daprd was seen to tell it. */

const NOTHING: TopicSubscription = {
  pubsub: "mem",
  topic: "",
  metadata: new Map(),
  rules: [],
  defaultPath: undefined,
  deadLetterTopic: undefined,
  bulk: undefined,
};

function described(parts?: MetadataParts): string {
  const settings = {
    ...{ app: anApp("callee"), appPort: 18080, appProtocol: "http" as const, appChannelAddress: "127.0.0.1" },
    ...{ appHealth: undefined, appMaxConcurrency: -1, command: "" },
  };
  return goJson(new SidecarMetadata(settings, { endpoints: new Map() }, parts).describe());
}

function subscribed(...subscriptions: readonly Partial<TopicSubscription>[]): MetadataParts {
  const all = subscriptions.map((subscription) => ({ ...NOTHING, ...subscription }));
  return { subscriptions: () => all.map((subscription) => ({ type: "PROGRAMMATIC", subscription })) };
}

function recorded(): string {
  const file = new URL("../../test/fixtures/observed/daprd-1.18.1.jsonl", import.meta.url);
  const line = readFileSync(file, "utf8")
    .split("\n")
    .find((text) => text.includes('"name": "/v1.0/metadata"'));
  return (JSON.parse(line ?? "") as { readonly response: { readonly body: string } }).response.body;
}

test("components and subscriptions are told in daprd's very words and order", () => {
  const told = described({
    components: () =>
      ["mem", "scoped"].map((name) => {
        return { name, type: "pubsub.in-memory", version: "v1", capabilities: ["SUBSCRIBE_WILDCARDS"] };
      }),
    ...subscribed(
      { topic: "orders", defaultPath: "/orders" },
      { topic: "raw", defaultPath: "/rawsub", metadata: new Map([["rawPayload", "true"]]) },
      {
        topic: "routed",
        rules: [
          { match: "event.type == 'v1'", path: "/r1" },
          { match: "event.data.n > 5", path: "/big" },
        ],
        defaultPath: "/rdef",
      },
      { topic: "retry", defaultPath: "/answer/RETRY", deadLetterTopic: "dlq" },
    ),
  });
  const keysOf = (json: string): string[] => Object.keys(JSON.parse(json) as object);
  assert.deepEqual(
    keysOf(told),
    keysOf(recorded()).filter((key) => key !== "enabledFeatures"),
  );
  const list = (json: string, name: string): string =>
    goJson((JSON.parse(json) as Record<string, readonly unknown[]>)[name]?.slice(0, 4));
  for (const name of ["components", "subscriptions"]) assert.equal(list(told, name), list(recorded(), name));
});

test("what there is none of is left out", () => {
  for (const parts of [undefined, { components: () => [], subscriptions: () => [] }]) {
    assert.doesNotMatch(described(parts), /"components"|"subscriptions"/);
  }
  const store = { name: "env", type: "secretstores.local.env", version: "v1", capabilities: [] };
  assert.match(
    described({ components: () => [store] }),
    /\{"name":"env","type":"secretstores.local.env","version":"v1"\}/,
  );
});

test("a subscription without any route has one rule with nothing in it, and one with rules alone has these", () => {
  for (const none of [{ defaultPath: "" }, {}]) assert.match(described(subscribed(none)), /"rules":\[\{\}\]/);
  const rules = [{ match: "true", path: "/all" }];
  assert.match(described(subscribed({ rules })), /"rules":\[\{"match":"true","path":"\/all"\}\]/);
});

test("the metadata of a subscription has its names in order, as Go writes maps", () => {
  const metadata = new Map([
    ["b", "2"],
    ["a", "1"],
  ]);
  assert.match(described(subscribed({ metadata })), /"metadata":\{"a":"1","b":"2"\}/);
});
