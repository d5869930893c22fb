import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { TestScope } from "../support/cleanup.ts";
import { folderWith, ownHome, type RunningApp, startBeside } from "../support/processes.ts";
import { Gate } from "../support/pubsub-world.ts";
import { type SubscribedApp, startSubscribedApp } from "../support/subscribed-app.ts";
import { waitFor } from "../support/wait.ts";

/** A sidecar whose events are in its own memory, as a user starts it. */

const COMPONENT = `apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: events}
spec: {type: pubsub.in-memory, version: v1}
`;
// As many as docs/pubsub-in-memory.md says.
const QUEUE = 10_000;

async function startWith(t: TestScope, app: SubscribedApp, flags: readonly string[] = []): Promise<RunningApp> {
  const folder = folderWith(t, { "events.yaml": COMPONENT });
  const started = await startBeside(t, "shop", app.port, {
    home: ownHome(t),
    flags: ["--resources-path", folder, ...flags],
  });
  await waitFor("the subscription", async () => {
    const metadata = (await (await fetch(`${started.api}/v1.0/metadata`)).json()) as { subscriptions?: unknown[] };
    return metadata.subscriptions?.length === 1;
  });
  return started;
}

function subscribedTo(topic: string): readonly unknown[] {
  return [{ pubsubname: "events", topic, route: "/events" }];
}

async function publish(api: string, topic: string, data: unknown): Promise<number> {
  const headers = { "Content-Type": "application/json" };
  const url = `${api}/v1.0/publish/events/${topic}`;
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(data) });
  await response.arrayBuffer();
  return response.status;
}

/** Of `topic`, with the numbers from 0. */
async function publishMany(api: string, topic: string, count: number): Promise<number> {
  const entries = Array.from({ length: count }, (_, n) => ({
    entryId: String(n),
    event: n,
    contentType: "application/json",
  }));
  const headers = { "Content-Type": "application/json" };
  const body = JSON.stringify(entries);
  const response = await fetch(`${api}/v1.0/publish/bulk/events/${topic}`, { method: "POST", headers, body });
  await response.arrayBuffer();
  return response.status;
}

describe("a sidecar with pubsub.in-memory", { concurrency: 2, timeout: 240_000 }, () => {
  test("delivers the events of every topic that a pattern fits", async (t) => {
    const app = await startSubscribedApp(t, subscribedTo("orders/*"));
    const { api } = await startWith(t, app);
    for (const topic of ["orders/new", "orders", "bills/new", "orders/new/big"]) {
      assert.equal(await publish(api, topic, topic), 204);
    }
    assert.equal(await publish(api, "orders/last", "last"), 204);
    await waitFor("the last", () => app.events.some(({ data }) => data === "last"));
    assert.deepEqual(
      app.events.map(({ topic, data }) => [topic, data]),
      [
        ["orders/new", "orders/new"],
        ["orders/new/big", "orders/new/big"],
        ["orders/last", "last"],
      ],
    );
  });

  test("gives a slow app one event at a time, in their order, and answers publishers at once", async (t) => {
    const gate = new Gate();
    let [underWay, most] = [0, 0];
    const app = await startSubscribedApp(t, subscribedTo("orders"), async () => {
      underWay += 1;
      most = Math.max(most, underWay);
      await gate.opened;
      underWay -= 1;
      return 200;
    });
    const { api } = await startWith(t, app);
    const numbers = Array.from({ length: 50 }, (_, n) => n);
    for (const n of numbers) assert.equal(await publish(api, "orders", n), 204);
    gate.open();
    await waitFor("all of them", () => app.events.length === numbers.length);
    assert.deepEqual(
      app.events.map(({ data }) => data),
      numbers,
    );
    assert.equal(most, 1);
  });

  test("has a publisher wait while its queue is full, and says at its end how many events are lost", async (t) => {
    const first = new Gate();
    const rest = new Gate();
    const app = await startSubscribedApp(t, subscribedTo("orders"), async ({ data }) => {
      await (data === 0 ? first : rest).opened;
      return 200;
    });
    const { api, outrigger } = await startWith(t, app, ["--dapr-graceful-shutdown-seconds", "1"]);
    assert.equal(await publishMany(api, "orders", QUEUE), 204);
    await waitFor("the first", () => app.events.length === 1);
    const statuses: (number | undefined)[] = [];
    const waiting = [1, 2].map((n) =>
      publish(api, "orders", `late ${n}`).then(
        (status) => statuses.push(status),
        () => statuses.push(undefined),
      ),
    );
    // Where nobody is subscribed an event passes, however full the queue is.
    assert.equal(await publish(api, "nobody", "x"), 204);
    assert.deepEqual(statuses, []);
    first.open();
    await waitFor("room for one of them", () => statuses.length > 0);
    assert.deepEqual(statuses, [204]);
    // One publisher still waits, for longer than the process has to end.
    outrigger.process.kill("SIGTERM");
    await waitFor("the end", () => outrigger.hasExited);
    assert.match(outrigger.output, new RegExp(`${QUEUE} events are lost: .*pubsub\\.in-memory keeps nothing`));
    await Promise.all(waiting);
    rest.open();
  });
});
