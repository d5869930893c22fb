import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type AppIdentity, parseAppId, parseNamespace } from "../../../core/app-id.ts";
import type { AppInstance, InstanceDetails } from "../../contract/name-resolver.ts";
import { RegistryResolver } from "./registry-resolver.ts";

const math = app("math");

/** Time stands still unless a test moves it. */
class ManualClock {
  #ms = 1_700_000_000_000;

  advance(ms: number): void {
    this.#ms += ms;
  }

  now(): number {
    return this.#ms;
  }

  monotonic(): number {
    return this.#ms;
  }

  sleep(): Promise<void> {
    return Promise.reject(new Error("nobody was to wait"));
  }
}

const silent = { debug: fail, info: fail, warn: fail, error: fail };

function fail(message: string): void {
  assert.fail(message);
}

/** Two resolvers of one home: what two processes of one user have. */
async function twoResolvers(t: TestContext) {
  const home = mkdtempSync(join(tmpdir(), "outrigger-test-"));
  const clock = new ManualClock();
  const [one, other] = [0, 1].map(() => new RegistryResolver({ home, clock, log: silent }));
  assert.ok(one && other);
  t.after(async () => {
    await one.close();
    await other.close();
    rmSync(home, { recursive: true });
  });
  await one.start();
  await other.start();
  const find = async (): Promise<string[]> => {
    // A reader of LMDB keeps what it sees for one turn of the timers; after it, it sees what others have written.
    await new Promise((resolve) => setTimeout(resolve, 0));
    return (await other.resolve(math)).map(({ instanceId }) => instanceId);
  };
  return { one, other, find, clock, home };
}

test("what one announces, the other finds, until it is withdrawn", async (t) => {
  const { one, other, find, clock } = await twoResolvers(t);
  const announcement = await one.announce(instance("a"), details);
  assert.deepEqual(await find(), ["a"]);
  assert.deepEqual(await other.resolve(math), [instance("a")]);
  await announcement.withdraw();
  await announcement.withdraw();
  clock.advance(1001);
  assert.deepEqual(await find(), []);
});

test("an app that was not there a moment ago is found as soon as it is", async (t) => {
  const { one, find } = await twoResolvers(t);
  assert.deepEqual(await find(), []);
  await one.announce(instance("a"), details);
  assert.deepEqual(await find(), ["a"]);
});

test("a known app is looked up again after a second", async (t) => {
  const { one, find, clock } = await twoResolvers(t);
  await one.announce(instance("a"), details);
  await find();
  await one.announce(instance("b"), details);
  assert.deepEqual(await find(), ["a"]);
  clock.advance(1001);
  assert.deepEqual(await find(), ["a", "b"]);
});

test("an entry that is not renewed is not found after its lease", async (t) => {
  const { one, find, clock } = await twoResolvers(t);
  await one.announce(instance("a"), details);
  clock.advance(9_999);
  assert.deepEqual(await find(), ["a"]);
  clock.advance(1_001);
  assert.deepEqual(await find(), []);
});

test("an entry is renewed every three seconds, so that it outlives its lease", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const { one, find, clock } = await twoResolvers(t);
  await one.announce(instance("a"), details);
  for (let passedMs = 0; passedMs < 30_000; passedMs += 3000) {
    clock.advance(3000);
    t.mock.timers.tick(3000);
    // Written behind the renewal: once it is there, so is the renewal.
    await one.announce({ ...instance("marker"), app: app("marker") }, details);
    assert.deepEqual(await find(), ["a"]);
  }
});

test("an instance that could not be reached is left out for a second", async (t) => {
  const { one, other, find, clock } = await twoResolvers(t);
  await one.announce(instance("a"), details);
  await one.announce(instance("b"), details);
  other.reportUnreachable(instance("a"));
  assert.deepEqual(await find(), ["b"]);
  clock.advance(1_000);
  assert.deepEqual(await find(), ["a", "b"]);
});

test("where no instance could be reached, all are given out: one of them may be back", async (t) => {
  const { one, other, find } = await twoResolvers(t);
  await one.announce(instance("a"), details);
  other.reportUnreachable(instance("a"));
  assert.deepEqual(await find(), ["a"]);
});

test("an instance that could not be reached is looked up again, in case it has moved", async (t) => {
  const { one, other, find } = await twoResolvers(t);
  const first = await one.announce(instance("a"), details);
  await find();
  await first.withdraw();
  await one.announce(instance("b"), details);
  other.reportUnreachable(instance("a"));
  assert.deepEqual(await find(), ["b"]);
});

test("changing what an instance says of itself leaves it findable, and is nothing once it is withdrawn", async (t) => {
  const { one, find, clock } = await twoResolvers(t);
  const announcement = await one.announce(instance("a"), details);
  await announcement.update({ appPid: 7 });
  assert.deepEqual(await find(), ["a"]);
  await announcement.withdraw();
  await announcement.update({ appPid: 8 });
  clock.advance(1001);
  assert.deepEqual(await find(), []);
});

test("closing takes back what was announced, and may be done twice", async (t) => {
  const { one, find } = await twoResolvers(t);
  await one.announce(instance("a"), details);
  await one.close();
  await one.close();
  assert.deepEqual(await find(), []);
});

test("the place that is searched has a name for error texts", async (t) => {
  const { one, home } = await twoResolvers(t);
  assert.equal(one.description, `the registry at ${join(home, "registry")}`);
});

const details: InstanceDetails = {
  pid: process.pid,
  apiHost: "127.0.0.1",
  httpPort: 3500,
  grpcPort: 50_001,
  appPort: undefined,
  appPid: undefined,
  command: "",
  startedAtMs: 0,
  gracefulShutdownMs: 5000,
  controlToken: "secret",
};

function instance(instanceId: string): AppInstance {
  return { app: math, instanceId, host: "127.0.0.1", port: 47_300, wire: "lean" };
}

function app(id: string): AppIdentity {
  return { id: parseAppId(id), namespace: parseNamespace("default") };
}
