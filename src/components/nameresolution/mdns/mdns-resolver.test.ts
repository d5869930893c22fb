import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { decode, encode, type Packet } from "dns-packet";
import { ManualClock } from "../../../../test/support/manual-clock.ts";
import { anApp, anInstance, testNameResolverContract } from "../../../../test/support/name-resolver-contract.ts";
import type { AppIdentity } from "../../../core/app-id.ts";
import type { AppInstance } from "../../contract/name-resolver.ts";
import { MdnsResolver } from "./mdns-resolver.ts";
import type { Multicast, PacketSource, Reach } from "./multicast-sockets.ts";
import { announcement, browseQuery, goodbye, hostNameOf, instanceNameOf } from "./records.ts";

const math = anApp("math");
const log = { debug: fail, info: () => undefined, warn: fail, error: fail };

function fail(message: string): void {
  assert.fail(message);
}

interface Sent {
  readonly from: string;
  readonly packet: Packet;
  readonly reach: Reach;
}

/** Machines on one network: each packet is heard by all, the sender included, a turn later, as it comes off the wire. */
class FakeNetwork {
  readonly sent: Sent[] = [];
  readonly unicast: Packet[] = [];
  readonly #cut = new Set<string>();
  readonly #ports: {
    readonly machine: string;
    receive: ((packet: Packet, source: PacketSource) => void) | undefined;
  }[] = [];

  /** mDNS as one process of `machine` has it. */
  join(machine: string): Multicast {
    const port = { machine, receive: undefined as ((packet: Packet, source: PacketSource) => void) | undefined };
    this.#ports.push(port);
    return {
      start: (onPacket) => {
        port.receive = onPacket;
        return Promise.resolve();
      },
      send: (packet, reach) => {
        this.send(machine, packet, reach);
        return Promise.resolve();
      },
      sendTo: (packet) => {
        this.unicast.push(packet);
        return Promise.resolve();
      },
      close: () => {
        port.receive = undefined;
        return Promise.resolve();
      },
    };
  }

  send(machine: string, packet: Packet, reach: Reach = "network", port = 5353): void {
    this.sent.push({ from: machine, packet, reach });
    const bytes = encode(packet);
    setImmediate(() => {
      for (const other of this.#ports) {
        if (this.#cut.has(machine) || this.#cut.has(other.machine)) continue;
        const isHere = other.machine === machine;
        if (isHere || reach === "network") other.receive?.(decode(bytes), { address: machine, port, isHere });
      }
    });
  }

  /** Nothing comes from that machine any more, and nothing gets there. */
  cut(machine: string): void {
    this.#cut.add(machine);
  }

  queriesOf(machine: string): string[] {
    const queries = this.sent.filter(({ from, packet }) => from === machine && packet.type === "query");
    return queries.flatMap(({ packet }) => packet.questions?.map(({ name }) => name) ?? []);
  }
}

/** A network, time that stands still, and processes on machines of that network. */
function world(t: TestContext) {
  const network = new FakeNetwork();
  const clock = new ManualClock();
  let pid = 1;
  const start = async (machine = "vm", hosted: readonly AppIdentity[] = []): Promise<MdnsResolver> => {
    const registry = { description: "", instancesOf: () => [] };
    const context = { registry, hosts: (app: AppIdentity) => hosted.includes(app), clock, log };
    const resolver = new MdnsResolver(context, network.join(machine), { hostname: machine, pid: pid++ });
    t.after(() => resolver.close());
    await resolver.start();
    return resolver;
  };
  /** Lets arrive what is on its way, and what is sent because of it. */
  const settle = async (): Promise<void> => {
    for (let turns = 0; turns < 10; turns++) await nextTurn();
  };
  /** Lets pass what is waited for an answer, where somebody waits. */
  const wait = async (): Promise<void> => {
    await settle();
    if (clock.sleeping > 0) clock.advance(1000);
    await settle();
    if (clock.sleeping > 0) clock.advance(100);
    await settle();
  };
  const find = async (resolver: MdnsResolver, app: AppIdentity): Promise<readonly AppInstance[]> => {
    const resolved = resolver.resolve(app);
    await wait();
    await resolved;
    // The first that answers is given out at once; the others have answered by now.
    const again = resolver.resolve(app);
    await wait();
    return again;
  };
  return { network, clock, start, settle, find };
}

testNameResolverContract("mdns", async (t, announced) => {
  const { start, settle, find } = world(t);
  const withdrawals = new Map<AppInstance, () => Promise<void>>();
  for (const instance of announced) {
    const announcement = await (await start()).announce(instance);
    withdrawals.set(instance, () => announcement.withdraw());
  }
  const finder = await start();
  return {
    finder,
    find: (app) => find(finder, app),
    withdraw: async (instance) => {
      await withdrawals.get(instance)?.();
      await withdrawals.get(instance)?.();
      await settle();
    },
  };
});

test("the first Outrigger that answers ends the wait", async (t) => {
  const { start, settle, clock } = world(t);
  await (await start()).announce(anInstance(math, "a", 1));
  const finder = await start();
  const resolved = finder.resolve(math);
  await settle();
  assert.equal(clock.sleeping, 0);
  const [found] = await resolved;
  assert.deepEqual(found, { app: math, instanceId: "a", host: "127.0.0.1", port: 1, wire: "unproven" });
});

test("those who ask for an app at once ask the network once", async (t) => {
  const { start, settle, clock, network } = world(t);
  const finder = await start("vm");
  const asked = [finder.resolve(math), finder.resolve(math), finder.resolve(math)];
  await settle();
  assert.deepEqual(network.queriesOf("vm"), ["math.local"]);
  clock.advance(1099);
  await settle();
  assert.equal(clock.sleeping, 1);
  clock.advance(1);
  assert.deepEqual(await Promise.all(asked), [[], [], []]);
});

test("an app that announces itself while it is waited for is found", async (t) => {
  const { start, settle } = world(t);
  const finder = await start();
  const resolved = finder.resolve(math);
  await settle();
  await (await start()).announce(anInstance(math, "a", 1));
  await settle();
  assert.deepEqual(
    (await resolved).map(({ instanceId }) => instanceId),
    ["a"],
  );
});

test("an instance of a known app that joins is called without anybody asking", async (t) => {
  const { start, settle, find, network } = world(t);
  await (await start("one")).announce(anInstance(math, "a", 1));
  const finder = await start("vm");
  // Loopback addresses of another machine are of no use.
  assert.deepEqual(await find(finder, math), []);
  await (await start("vm")).announce(anInstance(math, "b", 2));
  assert.equal((await find(finder, math)).length, 1);
  const queries = network.queriesOf("vm").length;
  await (await start("vm")).announce(anInstance(math, "c", 3));
  await settle();
  assert.deepEqual((await finder.resolve(math)).map(({ instanceId }) => instanceId).sort(), ["b", "c"]);
  assert.equal(network.queriesOf("vm").length, queries);
});

test("who listens on loopback is announced on this machine alone, and does not answer others", async (t) => {
  const { start, settle, network } = world(t);
  await (await start("vm")).announce(anInstance(math, "a", 1));
  network.send("other", browseQuery("math"));
  await settle();
  assert.deepEqual(
    network.sent.map(({ from, reach }) => [from, reach]),
    [
      ["vm", "this-machine"],
      ["other", "network"],
    ],
  );
  network.send("vm", browseQuery("math"));
  await settle();
  assert.deepEqual(network.sent.at(-1)?.reach, "this-machine");
  assert.equal(network.sent.at(-1)?.packet.type, "response");
});

test("who has an address of the network is found from other machines at that address", async (t) => {
  const { start, find } = world(t);
  await (await start("one")).announce({ ...anInstance(math, "a", 1), host: "10.0.0.7" });
  const [found] = await find(await start("two"), math);
  assert.deepEqual([found?.host, found?.port, found?.wire], ["10.0.0.7", 1, "unproven"]);
});

test("an address counts for a minute after it was last heard of, and is asked for every half minute", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const { start, find, settle, clock, network } = world(t);
  await (await start("one")).announce({ ...anInstance(math, "a", 1), host: "10.0.0.7" });
  const finder = await start("vm");
  assert.equal((await find(finder, math)).length, 1);
  for (let passedMs = 0; passedMs < 180_000; passedMs += 30_000) {
    const queries = network.queriesOf("vm").length;
    clock.advance(30_000);
    t.mock.timers.tick(30_000);
    await settle();
    assert.equal(network.queriesOf("vm").length, queries + 1);
    assert.equal((await finder.resolve(math)).length, 1);
  }
  // It ends without a goodbye, as a process that is killed does.
  network.cut("one");
  await settle();
  clock.advance(59_999);
  assert.equal((await finder.resolve(math)).length, 1);
  clock.advance(1);
  assert.deepEqual(await find(finder, math), []);
  // An app that is not there any more is not asked for any more.
  t.mock.timers.tick(30_000);
  const queries = network.queriesOf("vm").length;
  t.mock.timers.tick(60_000);
  assert.equal(network.queriesOf("vm").length, queries);
});

test("an instance that could not be reached is forgotten until it answers again", async (t) => {
  const { start, find } = world(t);
  await (await start()).announce(anInstance(math, "a", 1));
  const finder = await start();
  const [found] = await find(finder, math);
  assert.ok(found);
  finder.reportUnreachable(found);
  // It is asked again, and here it answers.
  assert.equal((await find(finder, math)).length, 1);
});

test("what takes its leave is gone at once; another under the same name stays", async (t) => {
  const { start, settle, find, network } = world(t);
  const finder = await start("vm");
  const service = (port: number) => ({
    appId: "math",
    name: instanceNameOf("box:7", "math"),
    target: hostNameOf("box"),
    address: "10.0.0.7",
    port,
    outrigger: { namespace: "default", instanceId: `at ${port}` },
  });
  const resolved = finder.resolve(math);
  await settle();
  // Two containers of one host may have one host name and one pid.
  network.send("box", announcement(service(1)));
  network.send("box", announcement(service(2)));
  await resolved;
  await settle();
  assert.equal((await finder.resolve(math)).length, 2);
  network.send("box", goodbye(service(1)));
  await settle();
  assert.deepEqual(
    (await finder.resolve(math)).map(({ port }) => port),
    [2],
  );
  network.send("box", {
    type: "response",
    answers: [{ name: "math.local", type: "PTR", ttl: 0, class: "IN", data: service(2).name }],
  });
  await settle();
  assert.deepEqual(await find(finder, math), []);
});

/** What a daprd announces: as we do, without the record that is ours. */
function ofDaprd(appId: string, address: string, port: number): Packet {
  const service = {
    appId,
    name: instanceNameOf("box:8", appId),
    target: hostNameOf("box"),
    address,
    port,
    outrigger: { namespace: "", instanceId: "" },
  };
  const packet = announcement(service);
  return { ...packet, answers: packet.answers?.slice(0, -1) ?? [] };
}

test("a daprd is given out, as what it is, where no Outrigger answers", async (t) => {
  const { start, settle, clock, network } = world(t);
  const finder = await start("vm");
  const resolved = finder.resolve(math);
  await settle();
  network.send("box", ofDaprd("math", "10.0.0.8", 50_002));
  await settle();
  // An Outrigger may still answer.
  assert.equal(clock.sleeping, 1);
  clock.advance(1100);
  const [found, ...more] = await resolved;
  assert.deepEqual([found?.host, found?.port, found?.wire, more], ["10.0.0.8", 50_002, "daprd", []]);
  await (await start("vm")).announce(anInstance(math, "a", 1));
  await settle();
  assert.deepEqual(
    (await finder.resolve(math)).map(({ wire }) => wire),
    ["unproven"],
  );
});

test("two Sidecars of one process with one id in two namespaces have two names", async (t) => {
  const { start, network, find } = world(t);
  const both = await start("vm");
  const elsewhere = anApp("math", "elsewhere");
  await both.announce(anInstance(math, "a", 1));
  await both.announce(anInstance(elsewhere, "b", 2));
  const names = network.sent.flatMap(({ packet }) => packet.answers?.filter(({ type }) => type === "SRV") ?? []);
  assert.deepEqual(
    names.map(({ name }) => name),
    ["vm:1.math.local", "vm:1:2.math.local"],
  );
  const finder = await start("vm");
  assert.deepEqual(
    (await find(finder, elsewhere)).map(({ instanceId }) => instanceId),
    ["b"],
  );
  assert.deepEqual(
    (await find(finder, math)).map(({ instanceId }) => instanceId),
    ["a"],
  );
});

test("what this process announces is found in it as it is, without asking", async (t) => {
  const { start, settle, network } = world(t);
  const resolver = await start("vm");
  const instance = { ...anInstance(math, "a", 1), host: "10.0.0.7" };
  await resolver.announce(instance);
  await settle();
  assert.deepEqual(await resolver.resolve(math), [instance]);
  assert.deepEqual(network.queriesOf("vm"), []);
});

test("an app of this process that is announced by other means is not asked for", async (t) => {
  const { start, network } = world(t);
  const resolver = await start("vm", [math]);
  assert.deepEqual(await resolver.resolve(math), []);
  assert.deepEqual(network.sent, []);
});

test("many apps may be waited for, which is nothing to warn of", async (t) => {
  const { start, settle } = world(t);
  const warnings: Error[] = [];
  const keep = (warning: Error): unknown => warnings.push(warning);
  process.on("warning", keep);
  t.after(() => process.off("warning", keep));
  const resolver = await start("vm");
  const waiting = Array.from({ length: 50 }, (_, index) => resolver.resolve(anApp(`ghost-${index}`)));
  await settle();
  await resolver.close();
  assert.deepEqual((await Promise.all(waiting)).flat(), []);
  assert.deepEqual(
    warnings.filter(({ name }) => name === "MaxListenersExceededWarning"),
    [],
  );
});

test("closing says goodbye for all that is announced, and ends who waits", async (t) => {
  const { start, settle, network } = world(t);
  const resolver = await start("vm");
  await resolver.announce(anInstance(math, "a", 1));
  await resolver.announce(anInstance(anApp("other"), "b", 2));
  const waiting = resolver.resolve(anApp("ghost"));
  await settle();
  await resolver.close();
  assert.deepEqual(await waiting, []);
  const ttls = network.sent
    .slice(-2)
    .map(({ packet }) => packet.answers?.map((answer) => ("ttl" in answer ? answer.ttl : 1)));
  assert.deepEqual(new Set(ttls.flat()), new Set([0]));
});

test("whoever asks from another port is answered alone, with its question", async (t) => {
  const { start, settle, network } = world(t);
  await (await start("vm")).announce(anInstance(math, "a", 1));
  const sent = network.sent.length;
  network.send("vm", { ...browseQuery("math"), id: 77 }, "network", 40_000);
  await settle();
  assert.equal(network.sent.length, sent + 1);
  assert.deepEqual(
    network.unicast.map(({ id, questions, answers }) => [id, questions?.[0]?.name, answers?.length]),
    [[77, "math.local", 1]],
  );
});

test("one packet that asks a hundred times gets one answer at most, and a hundred packets within a second get two", async (t) => {
  const { start, settle, network, clock } = world(t);
  await (await start("vm")).announce(anInstance(math, "a", 1));
  const answers = (): number => network.sent.filter(({ packet }) => packet.flags === 0x0400).length;
  const repeated = (times: number): Packet => ({
    type: "query",
    questions: Array.from({ length: times }, () => ({ name: "math.local", type: "PTR" }) as const),
  });
  network.send("vm", repeated(100), "network", 40_000);
  network.send("vm", repeated(100));
  await settle();
  assert.deepEqual([answers(), network.unicast.length], [0, 0]);
  network.send("vm", { ...repeated(16), id: 3 }, "network", 40_000);
  await settle();
  assert.deepEqual(
    network.unicast.map(({ questions }) => questions?.map(({ name }) => name)),
    [["math.local"]],
  );
  for (let packets = 0; packets < 100; packets++) network.send("vm", repeated(16));
  await settle();
  assert.equal(answers(), 1);
  clock.advance(999);
  await settle();
  assert.equal(answers(), 1);
  // Whoever has begun to listen after the first answer gets the second one while it still waits.
  clock.advance(1);
  await settle();
  assert.equal(answers(), 2);
  clock.advance(5000);
  await settle();
  assert.equal(answers(), 2);
});

test("what is withdrawn before its second answer is due is not answered for any more", async (t) => {
  const { start, settle, network, clock } = world(t);
  const announced = await (await start("vm")).announce(anInstance(math, "a", 1));
  for (let packets = 0; packets < 2; packets++) network.send("vm", browseQuery("math"));
  await settle();
  await announced.withdraw();
  const sent = network.sent.length;
  clock.advance(1000);
  await settle();
  assert.equal(network.sent.length, sent);
});

test("an id that mDNS has no room for is refused where it is announced, and never asked for", async (t) => {
  const { start, network } = world(t);
  const resolver = await start();
  const long = anApp("a".repeat(64));
  await assert.rejects(() => resolver.announce(anInstance(long, "a", 1)), {
    name: "SetupError",
    message: /^mDNS has no room for the app id a{64}: it may have 63 characters; give the app a shorter one/,
  });
  assert.deepEqual(await resolver.resolve(long), []);
  await resolver.announce(anInstance(anApp("a".repeat(63)), "b", 1));
  assert.equal(network.sent.length, 1);
});

test("a host that has no address stops the start, and is told how to get one", async (t) => {
  const resolver = await world(t).start();
  await assert.rejects(() => resolver.announce({ ...anInstance(math, "a", 1), host: "no host" }), {
    name: "SetupError",
    message: /^mDNS announces addresses, and no host leads to none: .*; set DAPR_HOST_IP to the address/,
  });
  await resolver.announce({ ...anInstance(math, "a", 1), host: "localhost" });
});

test("what is kept of one app has a bound, whoever announces how much", async (t) => {
  const { start, settle, network } = world(t);
  const finder = await start("vm");
  const resolved = finder.resolve(math);
  await settle();
  for (let port = 1; port <= 400; port++) network.send("box", ofDaprd("math", "10.0.0.8", port));
  await (await start("vm")).announce(anInstance(anApp("unasked"), "x", 1));
  await settle();
  await finder.close();
  assert.equal((await resolved).length, 256);
});

/** Looks for math and, while it waits, hears of all that `announce` sends. @returns the ports that it knows then. */
async function portsHeard(t: TestContext, announce: (network: FakeNetwork) => void): Promise<readonly number[]> {
  const { start, settle, network, clock } = world(t);
  const finder = await start("vm");
  const resolved = finder.resolve(math);
  await settle();
  announce(network);
  await settle();
  clock.advance(1100);
  await resolved;
  return (await finder.resolve(math)).map(({ port }) => port);
}

function ofOutrigger(port: number): Packet {
  const outrigger = { namespace: "default", instanceId: `at ${port}` };
  const [name, target] = [instanceNameOf("box:9", "math"), hostNameOf("box")];
  return announcement({ appId: "math", name, target, address: "10.0.0.9", port, outrigger });
}

test("an Outrigger is found whatever number of others is announced, before it or after it", async (t) => {
  const others = (network: FakeNetwork): void => {
    for (let port = 1; port <= 400; port++) network.send("box", ofDaprd("math", "10.0.0.8", port));
  };
  const behind = await portsHeard(t, (network) => {
    others(network);
    network.send("box", ofOutrigger(1000));
  });
  assert.deepEqual(behind, [1000]);
  const before = await portsHeard(t, (network) => {
    network.send("box", ofOutrigger(1000));
    others(network);
  });
  assert.deepEqual(before, [1000]);
});

test("of too many Outriggers those are known that were heard of last", async (t) => {
  const ports = await portsHeard(t, (network) => {
    for (let port = 1; port <= 256; port++) network.send("box", ofOutrigger(port));
    network.send("box", ofOutrigger(1));
    network.send("box", ofOutrigger(300));
    network.send("box", ofDaprd("math", "10.0.0.8", 400));
  });
  assert.equal(ports.length, 256);
  assert.deepEqual(
    [1, 2, 3, 300].filter((port) => ports.includes(port)),
    [1, 3, 300],
  );
});
