import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { type TestContext, test } from "node:test";
import type { IncomingEvent } from "../../src/components/contract/pubsub.ts";
import { metadataWith } from "./component-metadata.ts";
import { anEvent, type BrokerFactory, Gate, keyOf, PATIENCE_MS, textOf, World } from "./pubsub-world.ts";

export interface PubSubSubject extends BrokerFactory {
  readonly has: PubSubTraits;
  /** A field that it does not know, and the one that was meant. Absent where it has no fields. */
  readonly slip?: { readonly written: string; readonly meant: string };
  /** Metadata with which it cannot be used. */
  readonly unusable?: Readonly<Record<string, string>>;
}

export interface PubSubTraits {
  /** It keeps events for groups that are yet to come, and what was handed out and is not done for the next of the group. */
  readonly durable: boolean;
  /** Brokers with the same metadata and home deal in the same events. */
  readonly shared: boolean;
  /** A topic that ends in `*` is every topic that begins so. */
  readonly wildcards: boolean;
  /** One subscription works on several events at once. */
  readonly concurrent: boolean;
  /** It says how often an event was handed out. */
  readonly counts: boolean;
  /** What it holds can be looked at. */
  readonly browses: boolean;
}

const TEST_TIMEOUT_MS = 60_000;

/** What every broker promises: each sentence of components/contract/pubsub.ts. */
export function testPubSubContract(name: string, subject: PubSubSubject): void {
  const { has, slip, unusable } = subject;
  const promise = (what: string, check: (world: World, t: TestContext) => Promise<void>): void => {
    test(`${name}: ${what}`, { timeout: TEST_TIMEOUT_MS }, async (t) => {
      await check(await World.of(t, subject), t);
    });
  };

  promise("one that was only made can be closed, and one that is in use can be closed twice", async (world) => {
    await world.unready().close();
    const used = await world.broker();
    await used.close();
    await used.close();
  });

  if (unusable !== undefined) {
    promise("where it cannot be used it says so, and can be closed all the same", async (world) => {
      const broker = world.unready();
      const metadata = await metadataWith(unusable);
      await assert.rejects(async () => broker.init(metadata), Error);
      await broker.close();
      await broker.close();
    });
  }

  if (slip !== undefined) {
    promise("a field that it does not know is refused, with its place and the one that was meant", async (world) => {
      const broker = world.unready();
      const metadata = await metadataWith({ ...world.fields, [slip.written]: "x" });
      const failure = new RegExp(`:\\d+: unknown metadata field "${slip.written}"; did you mean "${slip.meant}"\\?$`);
      await assert.rejects(async () => broker.init(metadata), failure);
      await broker.close();
    });
  }

  promise("an event comes out as it went in: bytes, content type and metadata", async (world) => {
    const broker = await world.broker();
    const seen = await world.subscribe(broker, { topic: "as-is" });
    const bytes = [
      Buffer.from("text"),
      Buffer.alloc(0),
      Buffer.from([0, 255, 128, 10, 13, 0, 0xc3, 0x28]),
      Buffer.from("žluťoučký kůň 🐎"),
      randomBytes(1024 * 1024),
    ];
    const metadata = new Map([
      ["ttlInSeconds", "60"],
      ["název", 'kůň "🐎"\n\\'],
      ["empty", ""],
      ["__proto__", "a name like any"],
    ]);
    const types = ["text/plain", "application/octet-stream", undefined, "application/json; charset=utf-8", "x/y"];
    for (const [at, data] of bytes.entries()) {
      const contentType = types[at];
      await broker.publish({ topic: "as-is", data, contentType, metadata: at === 2 ? new Map() : metadata });
    }
    await seen.until("all of them", () => seen.distinct.size === bytes.length);
    const byId = [...seen.distinct.values()];
    for (const [at, data] of bytes.entries()) {
      const event = byId.find((one) => data.equals(one.data));
      assert.ok(event, `event ${at} came out otherwise`);
      assert.equal(event.topic, "as-is");
      assert.equal(event.contentType, types[at]);
      assert.deepEqual([...event.metadata], at === 2 ? [] : [...metadata]);
    }
  });

  promise("what is published is not looked at: it may be no JSON, and its topic any name", async (world) => {
    const broker = await world.broker();
    for (const topic of ["a/b", "a b", "ž🐎", "a:b", "a".repeat(200), "__proto__", "..", "a%2Fb"]) {
      const seen = await world.subscribe(broker, { topic });
      await broker.publish(anEvent(topic, "{not json"));
      await seen.texts("the event", ["{not json"]);
    }
  });

  promise("each group has each event", async (world) => {
    const broker = await world.broker();
    const groups = await Promise.all(
      ["one", "two", "three"].map((group) => world.subscribe(broker, { topic: "news", group })),
    );
    const texts = Array.from({ length: 50 }, (_, at) => `news ${at}`);
    for (const text of texts) await broker.publish(anEvent("news", text));
    for (const seen of groups) await seen.texts("every event", texts);
    assert.ok(groups.every((seen) => seen.events.length === texts.length));
  });

  promise("the members of a group share its events", async (world) => {
    const broker = await world.broker();
    // Both are at work at the end: none waits for what the other holds.
    const bothHold = new Gate();
    const holding = new Set<number>();
    const members = await Promise.all(
      [0, 1].map((member) =>
        world.subscribe(broker, {
          topic: "work",
          answer: async () => {
            holding.add(member);
            if (holding.size === 2) bothHold.open();
            await bothHold.opened;
            return "done" as const;
          },
        }),
      ),
    );
    const texts = Array.from({ length: 60 }, (_, at) => `work ${at}`);
    await broker.publishBulk(
      "work",
      texts.map((text) => anEvent("work", text)),
    );
    const together = (): IncomingEvent[] => members.flatMap((seen) => seen.events);
    await Promise.race(members.map((seen) => seen.until("their share", () => together().length >= texts.length)));
    assert.deepEqual(together().map(textOf).sort(), [...texts].sort());
  });

  promise("two topics do not mix", async (world) => {
    const broker = await world.broker();
    const [left, right] = [
      await world.subscribe(broker, { topic: "left" }),
      await world.subscribe(broker, { topic: "lef" }),
    ];
    await broker.publish(anEvent("left", "l"));
    await broker.publish(anEvent("lef", "r"));
    await broker.publish(anEvent("LEFT", "nobody's"));
    await left.texts("its own", ["l"]);
    await right.texts("its own", ["r"]);
  });

  promise("what is to come again does, until it is done, and the others do not wait for it", async (world) => {
    const broker = await world.broker();
    const texts = Array.from({ length: 20 }, (_, at) => `easy ${at}`);
    let failures = 0;
    const seen = await world.subscribe(broker, {
      topic: "retried",
      answer: (one) => {
        const isOver = failures >= 3 && seen.distinct.size === texts.length + 1;
        if (textOf(one) !== "hard" || isOver) return "done";
        failures += 1;
        return "again";
      },
    });
    await broker.publish(anEvent("retried", "hard"));
    for (const text of texts) await broker.publish(anEvent("retried", text));
    await seen.until("the hard one once more than it failed", () => failures >= 3 && seen.of("hard").length > failures);
    await seen.texts("the others", ["hard", ...texts]);
    for (const text of texts) assert.equal(seen.of(text).length, 1);
    const hard = seen.of("hard");
    assert.equal(new Set(hard.map(({ id }) => id)).size, 1, "it has one id");
    const attempts = hard.map(({ attempt }) => attempt);
    assert.deepEqual(
      attempts,
      attempts.map((_, at) => (has.counts ? at + 1 : undefined)),
    );
    await broker.publish(anEvent("retried", "last"));
    await seen.until("the last", () => seen.of("last").length === 1);
    assert.equal(seen.of("hard").length, failures + 1, "done is done");
  });

  promise("a slow handler holds up no other subscription, and no publisher", async (world) => {
    const broker = await world.broker();
    const gate = new Gate();
    const slow = await world.subscribe(broker, {
      topic: "slow",
      answer: async () => {
        await gate.opened;
        return "done" as const;
      },
    });
    const texts = Array.from({ length: 300 }, (_, at) => `${at}`);
    for (const text of texts) await broker.publish(anEvent("slow", text));
    const other = await world.subscribe(broker, { topic: "slow", group: "quick" });
    const elsewhere = await world.subscribe(broker, { topic: "elsewhere" });
    await broker.publish(anEvent("slow", "last"));
    await broker.publish(anEvent("elsewhere", "there"));
    await elsewhere.texts("the event", ["there"]);
    await other.until("the last", () => other.of("last").length === 1);
    gate.open();
    await slow.until("all", () => slow.distinct.size === texts.length + 1);
  });

  promise("the events of many publishers at once all come out", async (world) => {
    const broker = await world.broker();
    const seen = await world.subscribe(broker, { topic: "crowd" });
    const texts = Array.from({ length: 400 }, (_, at) => `${at}`);
    await Promise.all(texts.map((text) => broker.publish(anEvent("crowd", text))));
    await seen.texts("all of them", texts);
    assert.equal(seen.events.length, texts.length);
  });

  promise("many events at once are all taken, and come out in their order to who takes one by one", async (world) => {
    const broker = await world.broker();
    const seen = await world.subscribe(broker, { topic: "bulk", keyOf: () => "one" });
    const texts = Array.from({ length: 200 }, (_, at) => `${at}`);
    const failures = await broker.publishBulk(
      "bulk",
      texts.map((text) => anEvent("bulk", text)),
    );
    assert.deepEqual(failures, []);
    await seen.until("all of them", () => seen.events.length === texts.length);
    assert.deepEqual(seen.events.map(textOf), texts);
    assert.deepEqual(await broker.publishBulk("bulk", []), []);
  });

  promise("a batch has as many events as it may, and does not wait for ever to be full", async (world) => {
    const broker = await world.broker();
    const sizes: number[] = [];
    const seen = await world.subscribe(broker, {
      topic: "batches",
      batch: { maxEvents: 5, maxWaitMs: 200 },
      answerAll: (events) => {
        sizes.push(events.length);
        return events.map(() => "done");
      },
    });
    await broker.publish(anEvent("batches", "alone"));
    await seen.texts("one alone", ["alone"]);
    const texts = Array.from({ length: 23 }, (_, at) => `${at}`);
    await broker.publishBulk(
      "batches",
      texts.map((text) => anEvent("batches", text)),
    );
    await seen.texts("the rest", ["alone", ...texts]);
    assert.ok(Math.max(...sizes) <= 5, `batches of ${sizes.join()}`);
    assert.ok(
      sizes.some((size) => size > 1),
      `batches of ${sizes.join()}`,
    );
  });

  promise("each event of a batch has a verdict of its own", async (world) => {
    const broker = await world.broker();
    const failed = new Set<string>();
    const seen = await world.subscribe(broker, {
      topic: "verdicts",
      batch: { maxEvents: 4, maxWaitMs: 100 },
      answer: (one) => {
        const text = textOf(one);
        if (!text.startsWith("hard") || failed.has(text)) return "done";
        failed.add(text);
        return "again";
      },
    });
    const texts = ["easy 1", "hard 1", "easy 2", "hard 2"];
    await broker.publishBulk(
      "verdicts",
      texts.map((text) => anEvent("verdicts", text)),
    );
    await seen.until("both hard ones twice", () => seen.of("hard 1").length + seen.of("hard 2").length === 4);
    assert.deepEqual([seen.of("easy 1").length, seen.of("easy 2").length], [1, 1]);
  });

  promise("events of one key come one after the other, also where one fails in between", async (world) => {
    const broker = await world.broker();
    const underWay = new Map<string, number>();
    const done: string[] = [];
    const seen = await world.subscribe(broker, {
      topic: "keys",
      keyOf,
      answer: async (one) => {
        const [key, text] = [keyOf(one) ?? "", textOf(one)];
        underWay.set(key, (underWay.get(key) ?? 0) + 1);
        await Promise.resolve();
        assert.equal(underWay.get(key), 1, `two of ${key} at once`);
        underWay.set(key, 0);
        if (text === "a 3" && !done.includes("b 29")) return "again" as const;
        done.push(text);
        return "done" as const;
      },
    });
    const keys = ["a", "b", "c"];
    const texts = Array.from({ length: 30 }, (_, at) => keys.map((key) => `${key} ${at}`)).flat();
    await broker.publishBulk(
      "keys",
      texts.map((text) => anEvent("keys", text)),
    );
    await seen.until("all of them", () => done.length === texts.length);
    for (const key of keys) {
      const [expected, got] = [texts, done].map((list) => list.filter((text) => text.startsWith(key)));
      assert.deepEqual(got, expected);
    }
  });

  if (has.concurrent) {
    promise("events of other keys, and of none, pass a key whose event is under way", async (world) => {
      const broker = await world.broker();
      const gate = new Gate();
      const seen = await world.subscribe(broker, {
        topic: "passing",
        keyOf,
        answer: async (one) => {
          if (textOf(one) === "a 1") await gate.opened;
          return "done" as const;
        },
      });
      for (const text of ["a 1", "a 2", "b 1", "b 2", "- 1", "- 2"]) await broker.publish(anEvent("passing", text));
      await seen.texts("all but the one behind", ["a 1", "b 1", "b 2", "- 1", "- 2"]);
      gate.open();
      await seen.until("the one behind", () => seen.of("a 2").length === 1);
    });
  }

  promise("two of one key are never in one batch", async (world) => {
    const broker = await world.broker();
    const seen = await world.subscribe(broker, {
      topic: "keyed-batches",
      keyOf,
      batch: { maxEvents: 10, maxWaitMs: 50 },
      answerAll: (events) => {
        const keys = events.map(keyOf);
        assert.equal(new Set(keys).size, keys.length, `keys ${keys.join()} in one batch`);
        return events.map(() => "done");
      },
    });
    const texts = Array.from({ length: 8 }, (_, at) => [`a ${at}`, `b ${at}`]).flat();
    await broker.publishBulk(
      "keyed-batches",
      texts.map((text) => anEvent("keyed-batches", text)),
    );
    await seen.texts("all", texts);
  });

  promise("close waits for the handler, and nothing is handed out after it", async (world) => {
    const broker = await world.broker();
    const [gate, entered] = [new Gate(), new Gate()];
    const seen = await world.subscribe(broker, {
      topic: "closing",
      answer: async () => {
        entered.open();
        await gate.opened;
        return "done" as const;
      },
    });
    await broker.publish(anEvent("closing", "first"));
    await entered.opened;
    let isClosed = false;
    const closed = seen.subscription.close(PATIENCE_MS).then(() => {
      isClosed = true;
    });
    const second = seen.subscription.close(PATIENCE_MS);
    const other = await world.subscribe(broker, { topic: "closing", group: "other" });
    await broker.publish(anEvent("closing", "second"));
    await other.until("the second", () => other.of("second").length === 1);
    assert.equal(isClosed, false);
    gate.open();
    await Promise.all([closed, second]);
    const handedOut = seen.events.length;
    await broker.publish(anEvent("closing", "third"));
    await other.until("the third", () => other.of("third").length === 1);
    assert.equal(seen.events.length, handedOut);
    assert.equal(seen.signalFired, false);
    await seen.subscription.close(0);
  });

  promise("close without patience fires the handler's signal, and waits for nobody", async (world) => {
    const broker = await world.broker();
    const entered = new Gate();
    const seen = await world.subscribe(broker, {
      topic: "forced",
      answer: (_, signal) => {
        entered.open();
        return new Promise((resolve) => {
          signal.addEventListener("abort", {
            handleEvent: () => {
              resolve("done");
            },
          });
        });
      },
    });
    await broker.publish(anEvent("forced", "x"));
    await entered.opened;
    await seen.subscription.close(0);
    assert.equal(seen.signalFired, true);
  });

  promise("a broker that is closed closes what is subscribed, and takes no more events", async (world) => {
    const broker = await world.broker();
    const seen = await world.subscribe(broker, { topic: "over" });
    await broker.publish(anEvent("over", "x"));
    await seen.texts("the event", ["x"]);
    await broker.close();
    await seen.subscription.close(0);
    await assert.rejects(broker.publish(anEvent("over", "late")), Error);
  });

  promise("what is being published when it is closed is taken or refused", async (world) => {
    const broker = await world.broker();
    await world.subscribe(broker, { topic: "late" });
    const texts = Array.from({ length: 50 }, (_, at) => `${at}`);
    const published = [
      ...texts.map((text) => broker.publish(anEvent("late", text))),
      broker.publishBulk(
        "late",
        texts.map((text) => anEvent("late", text)),
      ),
    ];
    const settled = Promise.allSettled(published);
    await broker.close();
    assert.equal((await settled).length, published.length);
  });

  if (has.durable) {
    promise("what was published before a group was there is handed out to it", async (world) => {
      const broker = await world.broker();
      const texts = Array.from({ length: 30 }, (_, at) => `early ${at}`);
      for (const text of texts) await broker.publish(anEvent("early", text));
      const seen = await world.subscribe(broker, { topic: "early" });
      await seen.texts("all of them", texts);
    });

    promise("what is published while a group is away waits for it", async (world) => {
      const broker = await world.broker();
      const before = await world.subscribe(broker, { topic: "away" });
      await broker.publish(anEvent("away", "before"));
      await before.texts("the first", ["before"]);
      await before.subscription.close(PATIENCE_MS);
      await broker.publish(anEvent("away", "meanwhile"));
      const after = await world.subscribe(broker, { topic: "away" });
      await after.texts("the other, and not the first again", ["meanwhile"]);
      assert.equal(after.events.length, 1);
    });

    promise("what was handed out and not done when it was closed comes again to the next", async (world) => {
      const broker = await world.broker();
      const entered = new Gate();
      const held = await world.subscribe(broker, {
        topic: "held",
        answer: (_, signal) => {
          entered.open();
          return new Promise((resolve) => {
            signal.addEventListener("abort", {
              handleEvent: () => {
                resolve("done");
              },
            });
          });
        },
      });
      await broker.publish(anEvent("held", "first"));
      await entered.opened;
      const texts = Array.from({ length: 40 }, (_, at) => `${at}`);
      for (const text of texts) await broker.publish(anEvent("held", text));
      await held.subscription.close(0);
      const next = await world.subscribe(broker, { topic: "held" });
      await next.until("all of them", () => next.distinct.size === texts.length + 1);
      const [first] = next.of("first");
      if (has.counts) assert.ok((first?.attempt ?? 0) > 1, `attempt ${first?.attempt}`);
    });

    promise("what was to come again when it was closed comes to the next", async (world) => {
      const broker = await world.broker();
      const failing = await world.subscribe(broker, { topic: "failing", answer: () => "again" });
      await broker.publish(anEvent("failing", "x"));
      await failing.until("the first failure", () => failing.events.length > 0);
      await failing.subscription.close(PATIENCE_MS);
      const next = await world.subscribe(broker, { topic: "failing" });
      await next.texts("the event", ["x"]);
    });
  }

  if (has.shared) {
    promise("what one broker takes another hands out, and their members of a group share", async (world) => {
      const [one, two] = [await world.broker(), await world.broker()];
      const seen = [
        await world.subscribe(one, { topic: "shared" }),
        await world.subscribe(two, { topic: "shared" }),
        await world.subscribe(two, { topic: "shared", group: "other" }),
      ];
      const texts = Array.from({ length: 60 }, (_, at) => `${at}`);
      for (const [at, text] of texts.entries()) await (at % 2 === 0 ? one : two).publish(anEvent("shared", text));
      const [a, b, other] = seen;
      assert.ok(a && b && other);
      await other.texts("all, for the other group", texts);
      const together = (): string[] => [...a.events, ...b.events].map(textOf).sort();
      await Promise.race([a, b].map((one) => one.until("their share", () => together().length >= texts.length)));
      assert.deepEqual(together(), [...texts].sort());
    });

    promise("what a broker held that was closed comes to another's member of the group", async (world) => {
      const [leaving, staying] = [await world.broker(), await world.broker()];
      const entered = new Gate();
      await world.subscribe(leaving, {
        topic: "left-behind",
        answer: (_, signal) => {
          entered.open();
          return new Promise((resolve) => {
            signal.addEventListener("abort", {
              handleEvent: () => {
                resolve("again");
              },
            });
          });
        },
      });
      await staying.publish(anEvent("left-behind", "x"));
      await entered.opened;
      const seen = await world.subscribe(staying, { topic: "left-behind" });
      await leaving.close();
      await seen.texts("the event", ["x"]);
    });
  }

  if (has.wildcards) {
    promise("a pattern has the events of every topic that fits, each with its own topic", async (world) => {
      const broker = await world.broker();
      const seen = await world.subscribe(broker, { topic: "orders*" });
      const all = await world.subscribe(broker, { topic: "*", group: "all" });
      for (const topic of ["orders", "orders.new", "order", "xorders", "orders/old"]) {
        await broker.publish(anEvent(topic, topic));
      }
      await broker.publish(anEvent("orders.last", "last"));
      await seen.texts("those that fit", ["orders", "orders.new", "orders/old", "last"]);
      await all.until("every topic", () => all.events.length === 6);
      assert.deepEqual(seen.events.map(({ topic }) => topic).sort(), [
        "orders",
        "orders.last",
        "orders.new",
        "orders/old",
      ]);
    });
  }

  promise("it can be looked into where it says so", async (world) => {
    const broker = await world.broker();
    assert.equal(broker.browser !== undefined, has.browses);
  });

  if (has.browses) {
    promise("what it holds is listed page by page, the oldest first, and can be got and removed", async (world) => {
      const broker = await world.broker();
      const { browser } = broker;
      assert.ok(browser);
      assert.deepEqual(await browser.list("kept", 10, undefined), []);
      const from = Date.now();
      const metadata = new Map([["k", "v"]]);
      for (let at = 0; at < 5; at++) {
        await broker.publish({ topic: "kept", data: Buffer.from(`${at}`), contentType: "text/plain", metadata });
      }
      const first = await browser.list("kept", 3, undefined);
      const rest = await browser.list("kept", 3, first.at(-1)?.id);
      const all = [...first, ...rest];
      assert.deepEqual(
        all.map(({ data }) => Buffer.from(data).toString()),
        ["0", "1", "2", "3", "4"],
      );
      assert.equal(first.length, 3);
      const [, second] = all;
      assert.ok(second);
      assert.ok(second.publishedAtMs >= from - 1000 && second.publishedAtMs <= Date.now() + 1000);
      const got = await browser.get("kept", second.id);
      assert.deepEqual(
        [Buffer.from(got?.data ?? []).toString(), got?.contentType, [...(got?.metadata ?? [])]],
        ["1", "text/plain", [["k", "v"]]],
      );
      assert.equal(await browser.remove("kept", second.id), true);
      assert.equal(await browser.remove("kept", second.id), false);
      assert.equal(await browser.get("kept", second.id), undefined);
      for (const id of ["nonsense", "", "99999999999999-0", "-1", "../x"]) {
        assert.equal(await browser.get("kept", id), undefined);
        assert.equal(await browser.remove("kept", id), false);
      }
      const left = await browser.list("kept", 10, undefined);
      assert.deepEqual(
        left.map(({ data }) => Buffer.from(data).toString()),
        ["0", "2", "3", "4"],
      );
      assert.deepEqual(await browser.list("kept", 10, left.at(-1)?.id), []);
    });

    promise("what was removed is not handed out", async (world) => {
      const broker = await world.broker();
      assert.ok(broker.browser);
      for (const text of ["stays 1", "goes", "stays 2"]) await broker.publish(anEvent("removed", text));
      const goes = (await broker.browser.list("removed", 10, undefined))[1];
      assert.equal(await broker.browser.remove("removed", goes?.id ?? ""), true);
      const seen = await world.subscribe(broker, { topic: "removed" });
      await seen.texts("the others", ["stays 1", "stays 2"]);
      assert.equal(seen.of("goes").length, 0);
    });
  }
}
