import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { ManualClock } from "../../test/support/manual-clock.ts";
import type { BrokerSubscription, PubSub, PubSubFeature, SubscribeOptions } from "../components/contract/pubsub.ts";
import type { Logger } from "../core/logger.ts";
import type { SubscriptionSpec, TopicSubscription } from "../resources/subscription-spec.ts";
import { CloudEvent } from "./cloud-event.ts";
import type { EventApp, EventReceiver, PubSubComponent } from "./ports.ts";
import { Subscriptions } from "./subscriptions.ts";

/** A broker that says who is subscribed, and never hands out anything. */
class QuietBroker implements PubSub {
  readonly features = new Set<PubSubFeature>();
  /** Its subscriptions do not end by themselves: how long each close of one would wait, in milliseconds. */
  readonly patience: number[] = [];
  isStuck = false;
  readonly subscribed: SubscribeOptions[] = [];
  /** Thrown by the next calls of subscribe, one each. */
  readonly refusals: Error[] = [];
  calls = 0;

  init = (): Promise<void> => Promise.resolve();
  publish = (): Promise<void> => Promise.resolve();
  publishBulk = (): Promise<[]> => Promise.resolve([]);
  close = (): Promise<void> => Promise.resolve();

  subscribe(options: SubscribeOptions): Promise<BrokerSubscription> {
    this.calls++;
    const refusal = this.refusals.shift();
    if (refusal !== undefined) return Promise.reject(refusal);
    this.subscribed.push(options);
    const close = (patienceMs: number): Promise<void> => {
      this.patience.push(patienceMs);
      if (this.isStuck) return new Promise(() => undefined);
      const place = this.subscribed.indexOf(options);
      if (place !== -1) this.subscribed.splice(place, 1);
      return Promise.resolve();
    };
    return Promise.resolve({ close });
  }

  get topics(): string[] {
    return this.subscribed.map(({ topic }) => topic).sort();
  }
}

function component(
  name: string,
  broker: PubSub,
  maySubscribe: (topic: string) => boolean = () => true,
): PubSubComponent {
  return { name, type: "pubsub.quiet", broker, group: "app", scopes: { mayPublish: () => true, maySubscribe } };
}

function subscription(topic: string, path: string, pubsub = "mem"): TopicSubscription {
  const none = { metadata: new Map<string, string>(), rules: [], deadLetterTopic: undefined, bulk: undefined };
  return { pubsub, topic, defaultPath: path, ...none };
}

function declared(name: string, of: TopicSubscription): SubscriptionSpec {
  return { ...of, name, namespace: undefined, scopes: [], file: `${name}.yaml`, placeOfRule: () => `${name}.yaml:1` };
}

const receiver: EventReceiver = {
  deliver: () => Promise.resolve({ kind: "success" }),
  deliverBulk: ({ entries }) => Promise.resolve(entries.map(() => ({ kind: "success" }) as const)),
};

/** Subscriptions of an app that says what it subscribes to, once each of its failures has been had. */
function start(
  components: readonly PubSubComponent[],
  says: readonly TopicSubscription[] = [],
  failures: readonly Error[] = [],
  answer: Promise<unknown> = Promise.resolve(),
): {
  readonly subscriptions: Subscriptions;
  readonly rules: { pubsubs: Map<string, PubSubComponent>; subscriptions: SubscriptionSpec[]; policies: undefined };
  readonly clock: ManualClock;
  readonly told: string[];
  /** How often the app was asked. */
  readonly asked: () => number;
} {
  const rules = {
    pubsubs: new Map(components.map((one) => [one.name, one])),
    subscriptions: [] as SubscriptionSpec[],
    policies: undefined,
  };
  const told: string[] = [];
  const tell = (message: string): void => {
    told.push(message);
  };
  const log: Logger = { debug: () => undefined, info: () => undefined, warn: tell, error: tell };
  const clock = new ManualClock();
  const left = [...failures];
  let asked = 0;
  const app: EventApp = {
    ...receiver,
    subscriptions: async () => {
      asked++;
      const failure = left.shift();
      if (failure !== undefined) throw failure;
      await answer;
      return says;
    },
  };
  const common = { appId: "app", observer: undefined, tracer: undefined, random: () => 0.5 };
  const subscriptions = new Subscriptions({ ...common, rules, app, clock, log });
  return { subscriptions, rules, clock, told, asked: () => asked };
}

/** What was begun has happened: nothing here waits for anything but promises that are settled, and this module. */
async function settled(): Promise<void> {
  for (let i = 0; i < 5; i++) {
    await import("./running-subscription.ts");
    await turn();
  }
}

test("nothing is asked or subscribed before the app is open", async () => {
  const broker = new QuietBroker();
  const { subscriptions, asked } = start([component("mem", broker)], [subscription("orders", "/orders")]);
  await subscriptions.follow();
  await settled();
  assert.equal(asked(), 0);
  assert.deepEqual(broker.topics, []);
  subscriptions.open();
  await settled();
  assert.equal(asked(), 1);
  assert.deepEqual(broker.topics, ["orders"]);
});

test("an app is asked only where there is a component that it could name", async () => {
  const broker = new QuietBroker();
  const { subscriptions, rules, asked } = start([], [subscription("orders", "/orders")]);
  subscriptions.open();
  await settled();
  assert.equal(asked(), 0);
  rules.pubsubs.set("mem", component("mem", broker));
  await subscriptions.follow();
  await settled();
  assert.deepEqual([asked(), broker.topics], [1, ["orders"]]);
  await subscriptions.follow();
  assert.equal(asked(), 1);
});

test("an app that could not be asked is asked again", async () => {
  const broker = new QuietBroker();
  const failures = [new Error("no"), new Error("not yet")];
  const { subscriptions, clock, asked } = start([component("mem", broker)], [subscription("orders", "/o")], failures);
  subscriptions.open();
  await settled();
  assert.equal(asked(), 1);
  clock.advance(500);
  await settled();
  assert.equal(asked(), 2);
  clock.advance(1000);
  await settled();
  assert.deepEqual([asked(), broker.topics], [3, ["orders"]]);
});

test("the app's word counts before a resource's, and the first resource before others", async () => {
  const broker = new QuietBroker();
  const { subscriptions, rules } = start([component("mem", broker)], [subscription("orders", "/of-the-app")]);
  rules.subscriptions.push(declared("one", subscription("orders", "/of-a-resource")));
  rules.subscriptions.push(declared("two", subscription("bills", "/first")));
  rules.subscriptions.push(declared("three", subscription("bills", "/second")));
  subscriptions.open();
  await settled();
  const said = subscriptions.active.map(({ type, subscription: { topic, defaultPath } }) => [type, topic, defaultPath]);
  assert.deepEqual(said.sort(), [
    ["DECLARATIVE", "bills", "/first"],
    ["PROGRAMMATIC", "orders", "/of-the-app"],
  ]);
  assert.equal(broker.subscribed.length, 2);
});

test("a change of the resources changes what is subscribed, and leaves the rest alone", async () => {
  const broker = new QuietBroker();
  const { subscriptions, rules } = start([component("mem", broker)]);
  rules.subscriptions = [declared("a", subscription("a", "/a")), declared("b", subscription("b", "/b"))];
  subscriptions.open();
  await settled();
  const [first] = broker.subscribed;
  rules.subscriptions = [declared("a", subscription("a", "/a")), declared("c", subscription("c", "/c"))];
  await subscriptions.follow();
  await settled();
  assert.deepEqual(broker.topics, ["a", "c"]);
  assert.equal(broker.subscribed[0], first);
  rules.subscriptions = [declared("a", subscription("a", "/elsewhere"))];
  await subscriptions.follow();
  await settled();
  assert.deepEqual(broker.topics, ["a"]);
  assert.notEqual(broker.subscribed[0], first);
});

test("another component of the same name gets the subscriptions, streams included", async () => {
  const [before, after] = [new QuietBroker(), new QuietBroker()];
  const { subscriptions, rules } = start([component("mem", before)], [subscription("orders", "/orders")]);
  subscriptions.open();
  await subscriptions.stream(subscription("live", "/"), receiver);
  await settled();
  assert.deepEqual(before.topics, ["live", "orders"]);
  rules.pubsubs.set("mem", component("mem", after));
  await subscriptions.follow();
  await settled();
  assert.deepEqual([before.topics, after.topics], [[], ["live", "orders"]]);
});

test("a broker that refuses is asked again, ever more slowly", async () => {
  const broker = new QuietBroker();
  broker.refusals.push(new Error("away"), new Error("still away"));
  const { subscriptions, rules, clock, told } = start([component("mem", broker)]);
  rules.subscriptions = [declared("a", subscription("a", "/a"))];
  subscriptions.open();
  await settled();
  clock.advance(500);
  await settled();
  assert.deepEqual([broker.calls, broker.topics], [2, []]);
  clock.advance(999);
  await settled();
  assert.equal(broker.calls, 2);
  clock.advance(1);
  await settled();
  assert.deepEqual(broker.topics, ["a"]);
  assert.equal(told.length, 2);
});

test("a pause ends the subscriptions of the app, not the streams", async () => {
  const broker = new QuietBroker();
  const { subscriptions, asked } = start([component("mem", broker)], [subscription("orders", "/orders")]);
  subscriptions.open();
  await subscriptions.stream(subscription("live", "/"), receiver);
  await settled();
  subscriptions.pause();
  await settled();
  assert.deepEqual(broker.topics, ["live"]);
  subscriptions.open();
  await settled();
  assert.deepEqual([broker.topics, asked()], [["live", "orders"], 1]);
});

test("the end ends all, and nothing begins any more", async () => {
  const broker = new QuietBroker();
  const { subscriptions } = start([component("mem", broker)], [subscription("orders", "/orders")]);
  subscriptions.open();
  await subscriptions.stream(subscription("live", "/"), receiver);
  await settled();
  await subscriptions.end(1000);
  assert.deepEqual(broker.topics, []);
  await assert.rejects(subscriptions.stream(subscription("live", "/"), receiver), /the sidecar ends/);
  await subscriptions.follow();
  assert.deepEqual([broker.topics, subscriptions.active], [[], []]);
});

test("a subscription that no scope allows, or to a component that there is not, is told of once and left out", async () => {
  const broker = new QuietBroker();
  const scoped = component("mem", broker, (topic) => topic === "open");
  const { subscriptions, rules, told } = start([scoped]);
  rules.subscriptions = [
    declared("a", subscription("secret", "/a")),
    declared("b", subscription("open", "/b")),
    declared("c", subscription("open", "/c", "ghost")),
  ];
  subscriptions.open();
  await settled();
  await subscriptions.follow();
  assert.deepEqual(broker.topics, ["open"]);
  assert.equal(told.length, 2);
  assert.match(told.join("\n"), /secret.*not allowed for app id app/);
  assert.match(told.join("\n"), /no pub\/sub component ghost; there are: mem/);
});

test("a stream that the broker refuses is an error of the stream's, as is a component that there is not", async () => {
  const broker = new QuietBroker();
  broker.refusals.push(new Error("away"));
  const { subscriptions } = start([component("mem", broker)]);
  await assert.rejects(subscriptions.stream(subscription("live", "/"), receiver), /away/);
  await assert.rejects(subscriptions.stream(subscription("live", "/", "ghost"), receiver), /pubsub ghost is not found/);
  assert.deepEqual(subscriptions.active, []);
});

test("two streams of one topic are two subscriptions, and each ends by itself", async () => {
  const broker = new QuietBroker();
  const { subscriptions } = start([component("mem", broker)]);
  const one = await subscriptions.stream(subscription("live", "/"), receiver);
  await subscriptions.stream(subscription("live", "/"), receiver);
  assert.equal(broker.subscribed.length, 2);
  await one.close();
  await one.close();
  assert.equal(broker.subscribed.length, 1);
});

test("what an app is subscribed to is known before it takes events, and while it takes none", async () => {
  const broker = new QuietBroker();
  const { subscriptions, rules } = start([component("mem", broker)], [subscription("orders", "/orders")]);
  rules.subscriptions = [declared("a", subscription("a", "/a")), declared("b", subscription("b", "/b", "ghost"))];
  const topics = (): string[] => subscriptions.active.map((active) => active.subscription.topic).sort();
  await subscriptions.follow();
  assert.deepEqual([topics(), broker.topics], [["a"], []]);
  subscriptions.open();
  await settled();
  assert.deepEqual(
    [topics(), broker.topics],
    [
      ["a", "orders"],
      ["a", "orders"],
    ],
  );
  subscriptions.pause();
  await settled();
  assert.deepEqual([topics(), broker.topics], [["a", "orders"], []]);
  rules.subscriptions = [];
  await subscriptions.follow();
  assert.deepEqual([topics(), broker.topics], [["orders"], []]);
});

test("a pause and an opening in one breath leave each topic with one subscription", async () => {
  const broker = new QuietBroker();
  const { subscriptions } = start([component("mem", broker)], [subscription("orders", "/orders")]);
  subscriptions.open();
  await settled();
  subscriptions.pause();
  subscriptions.open();
  await settled();
  assert.deepEqual(broker.topics, ["orders"]);
});

test("a pause does not wait for a change that waits for the app", async () => {
  const broker = new QuietBroker();
  const { subscriptions, rules, clock } = start([component("mem", broker)]);
  rules.subscriptions = [declared("a", subscription("a", "/a")), declared("b", subscription("b", "/b"))];
  subscriptions.open();
  await settled();
  broker.isStuck = true;
  rules.subscriptions = rules.subscriptions.slice(1);
  const changed = subscriptions.follow();
  await settled();
  assert.equal(broker.patience.length, 1);
  broker.isStuck = false;
  subscriptions.pause();
  await settled();
  assert.deepEqual(broker.topics, ["a"]);
  clock.advance(10_000);
  await changed;
});

test("a resource waits for the app's first word, so that no event of its topic goes to the wrong route", async () => {
  const broker = new QuietBroker();
  let say = (): void => undefined;
  const answer = new Promise<void>((resolve) => {
    say = resolve;
  });
  const { subscriptions, rules } = start([component("mem", broker)], [subscription("orders", "/app")], [], answer);
  rules.subscriptions = [declared("a", subscription("orders", "/resource"))];
  subscriptions.open();
  await settled();
  assert.equal(broker.calls, 0);
  say();
  await settled();
  assert.deepEqual([broker.calls, subscriptions.active[0]?.subscription.defaultPath], [1, "/app"]);
});

test("an app that never says its word holds up the resources for two seconds", async () => {
  const broker = new QuietBroker();
  const never = new Promise(() => undefined);
  const { subscriptions, rules, clock } = start([component("mem", broker)], [], [], never);
  rules.subscriptions = [declared("a", subscription("orders", "/resource"))];
  subscriptions.open();
  await settled();
  clock.advance(1999);
  await settled();
  assert.equal(broker.calls, 0);
  clock.advance(1);
  await settled();
  assert.deepEqual(broker.topics, ["orders"]);
});

test("the end leaves the app all the time that it is given, and less when it is told again", async () => {
  const broker = new QuietBroker();
  broker.isStuck = true;
  const { subscriptions, clock } = start([component("mem", broker)], [subscription("orders", "/orders")]);
  subscriptions.open();
  await settled();
  const ended = subscriptions.end(60_000);
  await settled();
  assert.deepEqual(broker.patience, [60_000]);
  const cut = subscriptions.end(0);
  await settled();
  assert.deepEqual(broker.patience, [60_000, 0]);
  clock.advance(0);
  await Promise.all([ended, cut]);
  assert.equal(clock.sleeping, 0);
});

test("an end does not wait for a change that waits for the app", async () => {
  const broker = new QuietBroker();
  broker.isStuck = true;
  const { subscriptions, rules, clock } = start([component("mem", broker)]);
  rules.subscriptions = [declared("a", subscription("a", "/a"))];
  subscriptions.open();
  await settled();
  rules.subscriptions = [];
  const changed = subscriptions.follow();
  await settled();
  const cut = subscriptions.end(0);
  clock.advance(0);
  await Promise.all([changed, cut]);
});

test("a stream that is begun while its component is replaced goes on at the new one", async () => {
  const [before, after] = [new QuietBroker(), new QuietBroker()];
  const { subscriptions, rules } = start([component("mem", before)]);
  const begun = subscriptions.stream(subscription("live", "/"), receiver);
  rules.pubsubs.set("mem", component("mem", after));
  await subscriptions.follow();
  await begun;
  assert.deepEqual([before.topics, after.topics], [[], ["live"]]);
});

test("a stream that is begun as all ends is refused, and nothing is left of it", async () => {
  const broker = new QuietBroker();
  const { subscriptions } = start([component("mem", broker)]);
  const begun = subscriptions.stream(subscription("live", "/"), receiver);
  const ended = subscriptions.end(1000);
  await assert.rejects(begun, /the sidecar ends/);
  await ended;
  assert.deepEqual([broker.topics, subscriptions.active], [[], []]);
});

test("a pattern is one where the component knows them; elsewhere it is a topic's name, which is told", async () => {
  const [plain, wild] = [new QuietBroker(), new QuietBroker()];
  wild.features.add("SUBSCRIBE_WILDCARDS");
  const { subscriptions, rules, told } = start([component("plain", plain), component("wild", wild)]);
  rules.subscriptions = [
    declared("a", subscription("orders*", "/a", "plain")),
    declared("b", subscription("orders*", "/b", "wild")),
  ];
  await subscriptions.follow();
  const event = CloudEvent.parse(Buffer.from('{"specversion":"1.0"}'));
  const tried = async (pubsub: string, topic: string): Promise<unknown[]> =>
    (await subscriptions.try(pubsub, topic, event)).map(({ path }) => path);
  assert.deepEqual([await tried("plain", "orders/new"), await tried("plain", "orders*")], [[], ["/a"]]);
  assert.deepEqual([await tried("wild", "orders/new"), await tried("wild", "bills")], [["/b"], []]);
  assert.equal(told.length, 1);
  assert.match(told[0] ?? "", /\(declarative, a\): pubsub\.quiet knows no wildcards/);
});
