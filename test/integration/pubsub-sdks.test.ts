import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, suite, test } from "node:test";
import { promisify } from "node:util";
import { type Command, startCallee, startCaller } from "../support/apps.ts";
import type { TestScope } from "../support/cleanup.ts";
import { DEFAULT_PUBSUB, type ListedApp, listApps, type Outrigger } from "../support/outrigger.ts";
import { ownHome } from "../support/processes.ts";
import { runSteps, sdkProgram } from "../support/sdk-programs.ts";
import { waitFor } from "../support/wait.ts";

/** Dapr's SDKs publish and subscribe, each behind a sidecar of its own, on the broker that is there by itself. */

const PUBSUB = "pubsub";

interface Subscriber {
  readonly appId: string;
  /** What it goes by. */
  readonly protocol: "http" | "grpc";
  readonly command: () => Promise<Command>;
}

const SUBSCRIBERS: readonly Subscriber[] = [
  { appId: "js-http", protocol: "http", command: () => program("javascript", "event-app", "http", PUBSUB) },
  { appId: "js-grpc", protocol: "grpc", command: () => program("javascript", "event-app", "grpc", PUBSUB) },
  { appId: "python-grpc", protocol: "grpc", command: () => program("python", "event-app", PUBSUB) },
];

const PUBLISHERS = [
  { name: "js-http", language: "javascript", mode: ["event-client", "http", PUBSUB] },
  { name: "js-grpc", language: "javascript", mode: ["event-client", "grpc", PUBSUB] },
  { name: "python", language: "python", mode: ["event-client", PUBSUB] },
] as const;

async function program(language: "javascript" | "python", ...mode: readonly string[]): Promise<Command> {
  const [path, ...args] = await sdkProgram(language);
  return [path, ...args, ...mode];
}

interface Got {
  readonly got: string;
  readonly data: unknown;
}

/** What an app has printed of its events. */
function eventsIn(output: string): Got[] {
  const lines = output.match(/\{"got": ?.*\}$/gm) ?? [];
  return lines.map((line) => JSON.parse(line) as Got);
}

/** The data of all that came to a topic, as text, in order. */
function dataOf(output: string, topic: string): string[] {
  const data = eventsIn(output).filter(({ got }) => got === topic);
  return data.map((event) => JSON.stringify(event.data)).sort();
}

suite("Dapr's SDKs publish and subscribe", () => {
  const cleanups: (() => unknown)[] = [];
  const t: TestScope = { after: (fn) => cleanups.unshift(fn) };
  const apps = new Map<string, Outrigger>();
  let ports: ListedApp;

  before(async () => {
    const home = ownHome(t);
    await Promise.all(
      SUBSCRIBERS.map(async ({ appId, protocol, command }) => {
        const flags = ["--app-protocol", protocol, DEFAULT_PUBSUB];
        const { outrigger } = await startCallee(t, { home, appId, command: await command(), flags });
        apps.set(appId, outrigger);
      }),
    );
    const { outrigger } = await startCaller(t, { home, appId: "publisher", flags: [DEFAULT_PUBSUB] });
    const own = (await listApps(home)).find((app) => app.pid === outrigger.pid);
    assert.ok(own);
    ports = own;
  });
  after(async () => {
    for (const cleanup of cleanups) await cleanup();
  });

  for (const { name, language, mode } of PUBLISHERS) {
    test(`${name} publishes an object, a text, an event of its own and three at once`, async () => {
      const steps = await runSteps(await sdkProgram(language), [...mode, name], ports);
      for (const step of ["object", "text", "own event", "failing"]) {
        assert.deepEqual(steps.get(step), { value: "published" }, step);
      }
      assert.deepEqual(steps.get("bulk"), { value: 0 });
      const refused = steps.get("unknown component")?.error;
      assert.ok(refused);
      // Over gRPC, JavaScript's SDK keeps the sidecar's words to itself.
      if (name !== "js-grpc") assert.match(refused.message, /pubsub ghost is not found/);
    });
  }

  for (const { appId } of SUBSCRIBERS) {
    test(`${appId} gets each of them, once`, async () => {
      const outrigger = apps.get(appId);
      assert.ok(outrigger);
      const wanted = PUBLISHERS.flatMap(({ name }) => [
        name === "python" ? { from: name } : { from: name, large: Number.MAX_SAFE_INTEGER },
        `grüße from ${name}`,
        { own: name },
      ]).map((data) => JSON.stringify(data));
      await waitFor(`the events of ${appId}: ${outrigger.output}`, () => {
        return dataOf(outrigger.stdout, "orders").length >= wanted.length;
      });
      assert.deepEqual(dataOf(outrigger.stdout, "orders"), wanted.sort());
    });

    test(`${appId} gets what it drops as dead letters`, async () => {
      const outrigger = apps.get(appId);
      assert.ok(outrigger);
      const wanted = PUBLISHERS.map(({ name }) => JSON.stringify({ from: name, fails: true }));
      await waitFor(`the dead letters of ${appId}: ${outrigger.output}`, () => {
        return dataOf(outrigger.stdout, "dead").length >= wanted.length;
      });
      assert.deepEqual(dataOf(outrigger.stdout, "dead"), wanted.sort());
    });
  }

  test("js-http gets what was published at once in bulk", async () => {
    const outrigger = apps.get("js-http");
    assert.ok(outrigger);
    const wanted = PUBLISHERS.flatMap(({ name }) => [1, 2, 3].map((n) => JSON.stringify({ from: name, n })));
    await waitFor(`the batches: ${outrigger.output}`, () => {
      return dataOf(outrigger.stdout, "batches").length >= wanted.length;
    });
    assert.deepEqual(dataOf(outrigger.stdout, "batches"), wanted.sort());
  });

  test("python takes events over a stream, and one that it sends back once more", async () => {
    const [path, ...args] = await program("python", "event-stream", PUBSUB, "9");
    const env = { ...process.env, DAPR_GRPC_PORT: String(ports.grpcPort), DAPR_HTTP_PORT: String(ports.httpPort) };
    // What was published before its group was there is kept for it.
    const { stdout } = await promisify(execFile)(path, args, { env, timeout: 60_000 });
    const wanted = PUBLISHERS.flatMap(({ name }) => [
      name === "python" ? { from: name } : { from: name, large: Number.MAX_SAFE_INTEGER },
      `grüße from ${name}`,
      { own: name },
    ]).map((data) => JSON.stringify(data));
    assert.deepEqual(dataOf(stdout, "orders"), wanted.sort());
  });
});
