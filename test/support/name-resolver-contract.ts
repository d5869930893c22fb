import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { AppInstance, NameResolver } from "../../src/components/contract/name-resolver.ts";
import { type AppIdentity, parseAppId, parseNamespace } from "../../src/core/app-id.ts";

/** A resolver that looks for what has been made findable to it. */
export interface ResolverWorld {
  readonly finder: NameResolver;
  /** Resolves an app: lets pass what time that takes. */
  find(app: AppIdentity): Promise<readonly AppInstance[]>;
  /** Takes an instance back, and lets pass the time for which it may still be given out. Undefined where nobody can. */
  readonly withdraw?: (instance: AppInstance) => Promise<void>;
}

/** @param announced what is there to be found, before the finder has looked for anything. */
type CreateWorld = (t: TestContext, announced: readonly AppInstance[]) => Promise<ResolverWorld>;

export function anApp(id: string, namespace = "default"): AppIdentity {
  return { id: parseAppId(id), namespace: parseNamespace(namespace) };
}

export function anInstance(app: AppIdentity, instanceId: string, port: number): AppInstance {
  return { app, instanceId, host: "127.0.0.1", port, wire: "lean" };
}

const math = anApp("math");
const [one, two] = [anInstance(math, "one", 47_301), anInstance(math, "two", 47_302)];

/** What every name resolver promises, whatever it asks. */
export function testNameResolverContract(name: string, create: CreateWorld): void {
  const ports = async (world: ResolverWorld, app: AppIdentity): Promise<number[]> =>
    (await world.find(app)).map(({ port }) => port).sort((a, b) => a - b);

  test(`${name}: an instance is found where it listens, as the app that was asked for`, async (t) => {
    const world = await create(t, [one]);
    const [found, ...more] = await world.find(math);
    assert.deepEqual(more, []);
    assert.deepEqual([found?.app, found?.host, found?.port], [math, "127.0.0.1", 47_301]);
    assert.notEqual(found?.wire, "daprd");
  });

  test(`${name}: every instance of an app is found, and found again`, async (t) => {
    const world = await create(t, [one, two]);
    assert.deepEqual(await ports(world, math), [47_301, 47_302]);
    assert.deepEqual(await ports(world, math), [47_301, 47_302]);
    const ids = (await world.find(math)).map(({ instanceId }) => instanceId);
    assert.equal(new Set(ids).size, 2);
  });

  test(`${name}: an app that nobody knows has no instances, and does no harm to one that is known`, async (t) => {
    const world = await create(t, [one]);
    assert.deepEqual(await world.find(anApp("ghost")), []);
    assert.deepEqual(await ports(world, math), [47_301]);
  });

  test(`${name}: an app in another namespace is another app`, async (t) => {
    const elsewhere = anApp("math", "elsewhere");
    const world = await create(t, [one, anInstance(elsewhere, "there", 47_309)]);
    assert.deepEqual(await ports(world, math), [47_301]);
    assert.deepEqual(await ports(world, elsewhere), [47_309]);
    assert.deepEqual(await ports(world, anApp("math", "nowhere")), []);
  });

  test(`${name}: an id in another case, or at the end of another, is another app`, async (t) => {
    const world = await create(t, [one]);
    for (const id of ["Math", "MATH", "aftermath", "mat", "math-2"]) assert.deepEqual(await world.find(anApp(id)), []);
  });

  test(`${name}: an instance that could not be reached is left out at first, where there is another`, async (t) => {
    const world = await create(t, [one, two]);
    const dead = (await world.find(math)).find(({ port }) => port === 47_301);
    assert.ok(dead);
    world.finder.reportUnreachable(dead);
    assert.deepEqual(await ports(world, math), [47_302]);
  });

  test(`${name}: one that nobody was given may be reported all the same`, async (t) => {
    const world = await create(t, [one]);
    world.finder.reportUnreachable(two);
    world.finder.reportUnreachable(anInstance(anApp("ghost"), "x", 1));
    assert.deepEqual(await ports(world, math), [47_301]);
  });

  test(`${name}: it says where it looks, for the end of a sentence`, async (t) => {
    const { finder } = await create(t, [one]);
    assert.match(finder.description, /^the [^.]/);
    assert.ok(finder.staleMs >= 0);
  });

  test(`${name}: it may be closed twice`, async (t) => {
    const { finder } = await create(t, [one]);
    await finder.close();
    await finder.close();
  });

  test(`${name}: what is withdrawn is found no more, and the rest is`, async (t) => {
    const world = await create(t, [one, two]);
    if (world.withdraw === undefined) {
      // Nothing it knows is ever taken back: then nothing that was announced may have got into it.
      const announcement = await world.finder.announce(anInstance(anApp("new"), "new", 47_303));
      assert.deepEqual(await world.find(anApp("new")), []);
      await announcement.withdraw();
      await announcement.withdraw();
      return;
    }
    assert.deepEqual(await ports(world, math), [47_301, 47_302]);
    await world.withdraw(one);
    assert.deepEqual(await ports(world, math), [47_302]);
    await world.withdraw(two);
    assert.deepEqual(await ports(world, math), []);
  });
}
