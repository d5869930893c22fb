import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { anApp, anInstance } from "../../../test/support/name-resolver-contract.ts";
import type { AppInstance } from "../../components/contract/name-resolver.ts";
import { Registry } from "./registry.ts";
import { type InstanceDetails, RegistryStore, registryPathIn } from "./registry-store.ts";

const math = anApp("math");

const silent = { debug: fail, info: fail, warn: fail, error: fail };

function fail(message: string): void {
  assert.fail(message);
}

/** Two registries of one home: what two processes of one user have. */
async function twoRegistries(t: TestContext) {
  const home = mkdtempSync(join(tmpdir(), "outrigger-test-"));
  const clock = new ManualClock();
  const [one, other] = [0, 1].map(() => new Registry({ home, clock, log: silent }));
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
    return other.instancesOf(math).map(({ instanceId }) => instanceId);
  };
  return { one, other, find, clock, home };
}

test("what one registers, the other has, until it is withdrawn", async (t) => {
  const { one, other, find } = await twoRegistries(t);
  const registration = await one.register(instance("a"), details);
  assert.deepEqual(await find(), ["a"]);
  assert.deepEqual(other.instancesOf(math), [instance("a")]);
  await registration.withdraw();
  await registration.withdraw();
  assert.deepEqual(await find(), []);
});

test("an entry of another pid namespace has to prove itself: its process may have ended unseen", async (t) => {
  const { one, other, find, clock, home } = await twoRegistries(t);
  await one.register(instance("a"), details);
  const store = new RegistryStore(registryPathIn(home), fail);
  const process_ = { pid: process.pid, startTime: "1", pidNamespace: "pid:[1]" };
  await store.put([{ instance: instance("b"), details, process: process_, leaseUntilMs: clock.now() + 10_000 }]);
  await store.close();
  assert.deepEqual(await find(), ["a", "b"]);
  assert.deepEqual(other.instancesOf(math), [instance("a"), { ...instance("b"), wire: "unproven" }]);
});

test("an entry that is not renewed is not found after its lease", async (t) => {
  const { one, find, clock } = await twoRegistries(t);
  await one.register(instance("a"), details);
  clock.advance(9_999);
  assert.deepEqual(await find(), ["a"]);
  clock.advance(1);
  assert.deepEqual(await find(), []);
});

test("an entry is renewed every three seconds, so that it outlives its lease", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const { one, find, clock } = await twoRegistries(t);
  await one.register(instance("a"), details);
  for (let passedMs = 0; passedMs < 30_000; passedMs += 3000) {
    clock.advance(3000);
    t.mock.timers.tick(3000);
    // Written behind the renewal: once it is there, so is the renewal.
    await one.register({ ...instance("marker"), app: anApp("marker") }, details);
    assert.deepEqual(await find(), ["a"]);
  }
});

test("changing what an instance says of itself leaves it there, and is nothing once it is withdrawn", async (t) => {
  const { one, find } = await twoRegistries(t);
  const registration = await one.register(instance("a"), details);
  await registration.update({ appPid: 7 });
  assert.deepEqual(await find(), ["a"]);
  await registration.withdraw();
  await registration.update({ appPid: 8 });
  assert.deepEqual(await find(), []);
});

test("closing takes back what was registered, and may be done twice", async (t) => {
  const { one, find } = await twoRegistries(t);
  await one.register(instance("a"), details);
  await one.close();
  await one.close();
  assert.deepEqual(await find(), []);
});

test("the place has a name for error texts", async (t) => {
  const { one, home } = await twoRegistries(t);
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
  return anInstance(math, instanceId, 47_300);
}
