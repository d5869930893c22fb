import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { anApp } from "../../../test/support/name-resolver-contract.ts";
import type { Logger } from "../../core/logger.ts";
import type { ComponentSpec } from "../../resources/component-spec.ts";
import { NO_RESOURCES } from "../../resources/no-resources.ts";
import type { RunningPubSub } from "./app-pubsubs.ts";
import { LiveResources } from "./live-resources.ts";

/** Components of pub/sub through changes of an app's resources, and its end. */

function inMemory(name: string, fields: Readonly<Record<string, string>> = {}): ComponentSpec {
  return {
    ...{ name, namespace: undefined, type: "pubsub.in-memory", version: "v1", scopes: [], secretStore: undefined },
    ...{ ignoreErrors: false, initTimeoutMs: 5000, file: `${name}.yaml`, lineOf: () => 1 },
    metadata: Object.entries(fields).map(([field, text]) => ({ name: field, source: { kind: "value", value: text } })),
  } as const;
}

function start(env: NodeJS.ProcessEnv = {}) {
  const silent = (): void => undefined;
  const log: Logger = { debug: silent, info: silent, warn: silent, error: silent };
  const noUse = (): never => assert.fail("nobody shares");
  const live = new LiveResources(
    { http: [], app: [] },
    {
      ...{
        app: anApp("shop"),
        home: "",
        processes: { own: { pid: 0, startTime: "", pidNamespace: "" }, mayBeAlive: noUse },
      },
      ...{ shared: { borrow: noUse }, defaultPubSub: false, env, clock: new ManualClock(), log },
    },
  );
  const load = (...pubsubs: readonly ComponentSpec[]): Promise<void> => live.load({ ...NO_RESOURCES, pubsubs });
  return { live, load };
}

/** Whether something can still be published to it. */
async function takes({ broker }: RunningPubSub): Promise<boolean> {
  const event = { topic: "t", data: Buffer.from("1"), contentType: undefined, metadata: new Map<string, string>() };
  return broker.publish(event).then(
    () => true,
    () => false,
  );
}

function the(live: LiveResources, name: string): RunningPubSub {
  const pubsub = live.pubsubs.get(name);
  assert.ok(pubsub !== undefined, `there is no ${name}`);
  return pubsub;
}

test("what is the same in a change goes on; what is gone is closed once nobody subscribes there any more", async () => {
  const { live, load } = start();
  let leave = (): void => undefined;
  const left = new Promise<void>((resolve) => {
    leave = resolve;
  });
  live.onChange(() => left);
  await load(inMemory("stays"), inMemory("goes"), inMemory("changes"));
  const before = ["stays", "goes", "changes"].map((name) => the(live, name));
  await load(inMemory("stays"), inMemory("changes", { consumerID: "other" }));
  assert.equal(the(live, "stays"), before[0]);
  assert.notEqual(the(live, "changes"), before[2]);
  assert.equal(live.pubsubs.has("goes"), false);
  assert.deepEqual(await Promise.all(before.map(takes)), [true, true, true]);
  leave();
  await live.close();
  assert.deepEqual(await Promise.all(before.map(takes)), [false, false, false]);
});

test("what cannot be used leaves all as it was, and nothing of it runs", async () => {
  const { live, load } = start();
  await load(inMemory("one"));
  const one = the(live, "one");
  await assert.rejects(
    load(inMemory("new"), inMemory("one", { unknownField: "x" })),
    /unknown metadata field "unknownField"/,
  );
  assert.deepEqual([[...live.pubsubs.keys()], the(live, "one") === one, await takes(one)], [["one"], true, true]);
  await live.close();
});

test("a change that is ready after the end is closed, with what it has made", async () => {
  const { live, load } = start();
  await load(inMemory("one"));
  const one = the(live, "one");
  const loading = load(inMemory("one"), inMemory("two"));
  await live.close();
  await loading;
  assert.deepEqual([[...live.pubsubs.keys()], await takes(one)], [["one"], false]);
  await live.close();
});

for (const [consumerID, group] of [
  [undefined, "shop"],
  ["", "shop"],
  ["fixed", "fixed"],
  ["{namespace}/{appID}/{appID}", "default/shop/shop"],
  ["{podName}", "pod-7"],
  ["{other}", "{other}"],
] as const) {
  test(`the group of consumerID ${consumerID === undefined ? "that is not there" : `"${consumerID}"`} is ${group}`, async () => {
    const { live, load } = start({ POD_NAME: "pod-7" });
    await load(inMemory("one", consumerID === undefined ? {} : { consumerID }));
    assert.equal(the(live, "one").group, group);
    await live.close();
  });
}

test("{uuid} makes groups that nobody shares, and a change elsewhere keeps one", async () => {
  const { live, load } = start();
  const one = inMemory("one", { consumerID: "{uuid}" });
  await load(one, inMemory("two", { consumerID: "{uuid}" }));
  const { group } = the(live, "one");
  assert.match(group, /^[\da-f-]{36}$/);
  assert.notEqual(group, the(live, "two").group);
  await load(one);
  assert.equal(the(live, "one").group, group);
  await live.close();
});
