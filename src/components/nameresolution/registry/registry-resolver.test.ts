import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../../../test/support/manual-clock.ts";
import { anApp, anInstance, testNameResolverContract } from "../../../../test/support/name-resolver-contract.ts";
import { qualifiedName } from "../../../core/app-id.ts";
import type { AppInstance } from "../../contract/name-resolver.ts";
import { RegistryResolver } from "./registry-resolver.ts";

const math = anApp("math");
const noLog = { debug: fail, info: fail, warn: fail, error: fail };

function fail(message: string): void {
  assert.fail(message);
}

/** A resolver over a registry that the test writes. */
function world(announced: readonly AppInstance[] = []) {
  const clock = new ManualClock();
  const present = new Set(announced);
  const registry = {
    description: "the registry at HOME",
    instancesOf: (app: AppInstance["app"]) =>
      [...present].filter((instance) => qualifiedName(instance.app) === qualifiedName(app)),
  };
  const resolver = new RegistryResolver({ registry, hosts: () => false, clock, log: noLog });
  const find = async (): Promise<string[]> => (await resolver.resolve(math)).map(({ instanceId }) => instanceId);
  return { clock, present, resolver, find };
}

testNameResolverContract("registry", (_, announced) => {
  const { clock, present, resolver } = world(announced);
  return Promise.resolve({
    finder: resolver,
    find: (app) => resolver.resolve(app),
    withdraw: (instance) => {
      present.delete(instance);
      clock.advance(resolver.staleMs + 1);
      return Promise.resolve();
    },
  });
});

const [a, b] = [anInstance(math, "a", 1), anInstance(math, "b", 2)];

test("an app that was not there a moment ago is found as soon as it is", async () => {
  const { present, find } = world();
  assert.deepEqual(await find(), []);
  present.add(a);
  assert.deepEqual(await find(), ["a"]);
});

test("a known app is looked up again after a second", async () => {
  const { present, find, clock } = world([a]);
  await find();
  present.add(b);
  assert.deepEqual(await find(), ["a"]);
  clock.advance(1001);
  assert.deepEqual(await find(), ["a", "b"]);
});

test("what this process announces or withdraws is seen at once", async () => {
  const { present, find, resolver } = world([a]);
  await find();
  present.add(b);
  const announcement = await resolver.announce();
  assert.deepEqual(await find(), ["a", "b"]);
  present.delete(b);
  await announcement.withdraw();
  assert.deepEqual(await find(), ["a"]);
});

test("an instance that could not be reached is left out for a second", async () => {
  const { resolver, find, clock } = world([a, b]);
  resolver.reportUnreachable(a);
  assert.deepEqual(await find(), ["b"]);
  clock.advance(1_000);
  assert.deepEqual(await find(), ["a", "b"]);
});

test("where no instance could be reached, all are given out: one of them may be back", async () => {
  const { resolver, find } = world([a]);
  resolver.reportUnreachable(a);
  assert.deepEqual(await find(), ["a"]);
});

test("an instance that could not be reached is looked up again, in case it has moved", async () => {
  const { present, resolver, find } = world([a]);
  await find();
  present.delete(a);
  present.add(b);
  resolver.reportUnreachable(a);
  assert.deepEqual(await find(), ["b"]);
});
