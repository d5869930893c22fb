import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { TestScope } from "../support/cleanup.ts";
import { type EventSink, MortalSidecar, publishOrder, startEventSink } from "../support/event-fleet.ts";
import { LONG } from "../support/long.ts";
import { folderWith, ownHome } from "../support/processes.ts";
import { startRedis } from "../support/redis-server.ts";

/**
 * Nothing that was answered with 204 is lost, whoever is killed: sidecars that publish, sidecars that deliver, the broker.
 * Events may come twice: how often is said.
 */

const EVENTS = LONG ? 100_000 : 5000;
const PUBLISHERS = 2;
const SUBSCRIBERS = 3;
const IN_FLIGHT = 16;
// A bound for what hangs; a run without kills takes a fraction of it.
const PATIENCE_MS = LONG ? 15 * 60_000 : 3 * 60_000;

interface Broker {
  readonly pubsub: string;
  readonly flags: readonly string[];
  /** kill -9 of a broker that is a process of its own. */
  die?(): Promise<void>;
}

async function local(): Promise<Broker> {
  return Promise.resolve({ pubsub: "pubsub", flags: [] });
}

async function redis(t: TestScope): Promise<Broker> {
  const server = await startRedis(t, { args: ["--appendonly", "yes", "--appendfsync", "always"] });
  const resource = `apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: events
spec:
  type: pubsub.redis
  metadata:
  - name: redisHost
    value: 127.0.0.1:${server.port}
  - name: processingTimeout
    value: 2s
  - name: redeliverInterval
    value: 500ms
`;
  const flags = ["--resources-path", folderWith(t, { "events.yaml": resource })];
  const die = async (): Promise<void> => {
    await server.kill();
    await server.restart();
  };
  return { pubsub: "events", flags, die };
}

for (const [name, start] of [
  ["pubsub.local", local],
  ["pubsub.redis with appendonly", redis],
] as const) {
  test(`${name}: every event that was answered with 204 is delivered`, { timeout: PATIENCE_MS }, async (t) => {
    const home = ownHome(t);
    const broker = await start(t);
    const { pubsub, flags } = broker;
    const publishers: MortalSidecar[] = [];
    for (let i = 0; i < PUBLISHERS; i++) {
      publishers.push(await MortalSidecar.start(t, home, { appId: `publisher-${i}`, flags }));
    }
    const sinks: EventSink[] = [];
    const subscribers: MortalSidecar[] = [];
    for (let i = 0; i < SUBSCRIBERS; i++) {
      const sink = await startEventSink(t, pubsub);
      sinks.push(sink);
      subscribers.push(await MortalSidecar.start(t, home, { appId: "worker", appPort: sink.port, flags }));
    }

    const answered = new Set<number>();
    let unanswered = 0;
    let next = 0;
    const publishedBy = Date.now() + PATIENCE_MS / 2;
    const publishAll = async (): Promise<void> => {
      while (next < EVENTS && Date.now() < publishedBy) {
        const n = next++;
        // Until somebody takes it, so that every number is published in the end.
        for (let tries = 0; !answered.has(n) && Date.now() < publishedBy; tries++) {
          const publisher = publishers[(n + tries) % PUBLISHERS];
          assert.ok(publisher);
          if ((await publishOrder(publisher.port, pubsub, n)) === 204) answered.add(n);
          else {
            unanswered++;
            await sleep(20);
          }
        }
      }
    };
    const over = new AbortController();
    let brokerDeaths = 0;
    const killer = (async () => {
      const mortals = [...publishers, ...subscribers];
      for (;;) {
        await sleep(500 + Math.random() * 1500);
        if (over.signal.aborted) return;
        if (broker.die !== undefined && Math.random() < 0.25) {
          brokerDeaths++;
          await broker.die();
        } else {
          await mortals[Math.floor(Math.random() * mortals.length)]?.die();
        }
      }
    })();
    const isSeen = (n: number): boolean => sinks.some(({ seen }) => seen.has(n));
    try {
      await Promise.all(Array.from({ length: IN_FLIGHT }, publishAll));
      // Killing goes on while the last ones are delivered, but for the end.
      over.abort();
      await killer;
      assert.equal(answered.size, EVENTS, `${unanswered} tries, ${brokerDeaths} deaths of the broker`);
      const deadline = Date.now() + PATIENCE_MS / 3;
      let missing = [...answered].filter((n) => !isSeen(n));
      while (missing.length > 0 && Date.now() < deadline) {
        await sleep(100);
        missing = missing.filter((n) => !isSeen(n));
      }
      const log = subscribers.map(({ output }) => output.slice(-4000)).join("\n");
      assert.deepEqual(missing.slice(0, 20), [], `${missing.length} were lost\n${log}`);
    } finally {
      over.abort();
      await killer;
    }
    assert.ok(broker.die === undefined || brokerDeaths > 0, "the broker was killed");
    const deliveries = sinks.flatMap(({ seen }) => [...seen.values()]).reduce((sum, times) => sum + times, 0);
    const deaths = [...publishers, ...subscribers].reduce((sum, mortal) => sum + mortal.deaths, 0);
    t.diagnostic(
      `${answered.size} answered with 204, all delivered; ${deliveries - EVENTS} more than once; ` +
        `${unanswered} tries to publish were not answered; ${deaths} kills of sidecars, ${brokerDeaths} of the broker`,
    );
  });
}
