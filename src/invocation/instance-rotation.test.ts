import assert from "node:assert/strict";
import { test } from "node:test";
import type { AppInstance } from "../components/contract/name-resolver.ts";
import { type AppIdentity, parseAppId, parseNamespace } from "../core/app-id.ts";
import { InstanceRotation } from "./instance-rotation.ts";

const math = app("math");

test("every call begins with the next instance, and knows the others", () => {
  const rotation = new InstanceRotation();
  const instances = ["a", "b", "c"].map((id) => instance(math, id));
  const orders = Array.from({ length: 4 }, () => idsOf(rotation.next(math, instances)));
  assert.deepEqual(orders, ["a b c", "b c a", "c a b", "a b c"]);
});

test("calls are spread evenly", () => {
  const rotation = new InstanceRotation();
  const instances = ["a", "b", "c"].map((id) => instance(math, id));
  const counts = new Map<string, number>();
  for (let i = 0; i < 300; i++) {
    const first = rotation.next(math, instances)[0]?.instanceId ?? "";
    counts.set(first, (counts.get(first) ?? 0) + 1);
  }
  assert.deepEqual(Object.fromEntries(counts), { a: 100, b: 100, c: 100 });
});

test("apps take turns of their own", () => {
  const rotation = new InstanceRotation();
  const [left, right] = [app("left"), app("right")];
  const of = (owner: AppIdentity): AppInstance[] => ["a", "b"].map((id) => instance(owner, id));
  assert.equal(idsOf(rotation.next(left, of(left))), "a b");
  assert.equal(idsOf(rotation.next(right, of(right))), "a b");
  assert.equal(idsOf(rotation.next(left, of(left))), "b a");
});

test("an instance that comes or goes does not stop the rotation", () => {
  const rotation = new InstanceRotation();
  const [a, b, c] = [instance(math, "a"), instance(math, "b"), instance(math, "c")];
  rotation.next(math, [a, b, c]);
  rotation.next(math, [a, b, c]);
  assert.equal(idsOf(rotation.next(math, [a, b])), "a b");
  assert.equal(idsOf(rotation.next(math, [a, b, c])), "a b c");
});

test("one instance is one, and none is none", () => {
  const rotation = new InstanceRotation();
  assert.equal(idsOf(rotation.next(math, [instance(math, "a")])), "a");
  assert.equal(idsOf(rotation.next(math, [])), "");
});

test("beyond a thousand apps nobody's turn is remembered: memory has an end, and rotation begins again", () => {
  const rotation = new InstanceRotation();
  const turnOf = (owner: AppIdentity): string =>
    idsOf(rotation.next(owner, [instance(owner, "a"), instance(owner, "b")]));
  assert.equal(turnOf(math), "a b");
  for (let at = 0; at < 1000; at++) assert.equal(turnOf(app(`app-${at}`)), "a b");
  assert.equal(turnOf(math), "a b");
});

function idsOf(instances: readonly AppInstance[]): string {
  return instances.map(({ instanceId }) => instanceId).join(" ");
}

function instance(owner: AppIdentity, instanceId: string): AppInstance {
  return { app: owner, instanceId, host: "127.0.0.1", port: 1, wire: "lean" };
}

function app(id: string): AppIdentity {
  return { id: parseAppId(id), namespace: parseNamespace("default") };
}
