import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import type { TestScope } from "../support/cleanup.ts";
import { type Machine, ownMachine } from "../support/network.ts";
import { listApps, type StartOptions, startOutrigger } from "../support/outrigger.ts";
import { ownPort } from "../support/own-port.ts";
import {
  APP,
  ended,
  folderWith,
  kill,
  ownHome,
  type RunningApp,
  runToEnd,
  startBeside,
  startWithApp,
  whenReady,
} from "../support/processes.ts";
import { startInTestApp } from "../support/raw-http-app.ts";
import { startUpgradeApp } from "../support/upgrade-app.ts";
import { waitFor } from "../support/wait.ts";

/** `spec.nameResolution`: who is found by mDNS, by a table, and by nobody. */

const HEAD = "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: { name: config }\n";

/** A Configuration with this `nameResolution`. @returns the file. */
function configuration(t: TestScope, nameResolution: string): string {
  return join(folderWith(t, { "config.yaml": `${HEAD}spec:\n  nameResolution: ${nameResolution}\n` }), "config.yaml");
}

interface Started {
  readonly flags?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly home?: string;
}

/** A process that finds and is found by mDNS alone: its home, and so its registry, is its own. */
async function startMdns(t: TestContext, machine: Machine, appId: string, options: Started = {}): Promise<RunningApp> {
  const { home = ownHome(t), env = {}, flags = [] } = options;
  const all = ["--config", configuration(t, "{ component: mdns }"), ...flags];
  return startWithApp(t, appId, await ownPort(), { home, env, flags: all, within: machine.within });
}

function invokeUrl({ api }: RunningApp, target: string): string {
  return `${api}/v1.0/invoke/${target}/method/where`;
}

/** The pid of the app that answers when `caller` calls `target`. */
async function answerer(machine: Machine, caller: RunningApp, target: string): Promise<number> {
  const [status, text] = await machine.fetch(invokeUrl(caller, target));
  assert.equal(status, 200, text);
  return (JSON.parse(text) as { pid: number }).pid;
}

/** What a call is answered that finds nobody. */
async function failure(machine: Machine, caller: RunningApp, target: string): Promise<string> {
  const [status, text] = await machine.fetch(invokeUrl(caller, target));
  const { errorCode, message } = JSON.parse(text) as { errorCode: string; message: string };
  assert.deepEqual([status, errorCode], [500, "ERR_DIRECT_INVOKE"], text);
  return message;
}

async function appPidOf(app: RunningApp): Promise<number> {
  return waitFor("the pid of the app", async () => {
    const entry = (await listApps(app.outrigger.home)).find(({ pid }) => pid === app.outrigger.pid);
    return entry?.appPid;
  });
}

describe("mDNS", { concurrency: 2, timeout: 300_000 }, () => {
  test("two processes find each other, a third joins, one that is killed is skipped, and one that leaves is gone", async (t) => {
    const machine = ownMachine(t);
    const [first, caller] = await Promise.all([startMdns(t, machine, "math"), startMdns(t, machine, "front")]);
    const one = await appPidOf(first);
    assert.equal(await answerer(machine, caller, "math"), one);
    assert.equal(await answerer(machine, first, "front"), await appPidOf(caller));

    const second = await startMdns(t, machine, "math");
    const two = await appPidOf(second);
    await waitFor("both instances to be called", async () => {
      const pids = [await answerer(machine, caller, "math"), await answerer(machine, caller, "math")];
      return new Set(pids).size === 2;
    });
    for (let calls = 0; calls < 4; calls++) {
      const pids = [await answerer(machine, caller, "math"), await answerer(machine, caller, "math")];
      assert.deepEqual(pids.sort(), [one, two].sort());
    }

    kill(first.outrigger.pid, "SIGKILL");
    await ended(first.outrigger);
    for (let calls = 0; calls < 4; calls++) assert.equal(await answerer(machine, caller, "math"), two);

    assert.equal(await second.outrigger.stop(), 0);
    const message = await failure(machine, caller, "math");
    // Nobody was tried in vain: it was known to have gone.
    assert.match(
      message,
      /no host found with the given ID: app "math" in namespace "default" is not in the answers to mDNS/,
    );
    assert.doesNotMatch(message, /retries/);
  });

  test("an app of another namespace is another app, whatever answers first", async (t) => {
    const machine = ownMachine(t);
    const [here, there, caller] = await Promise.all([
      startMdns(t, machine, "math"),
      startMdns(t, machine, "math", { env: { NAMESPACE: "elsewhere" } }),
      startMdns(t, machine, "front"),
    ]);
    const [own, other] = [await appPidOf(here), await appPidOf(there)];
    for (let calls = 0; calls < 4; calls++) {
      assert.equal(await answerer(machine, caller, "math"), own);
      assert.equal(await answerer(machine, caller, "math.elsewhere"), other);
    }
    assert.match(
      await failure(machine, caller, "math.nowhere"),
      /app "math" in namespace "nowhere" is not in the answers/,
    );
    assert.equal(await here.outrigger.stop(), 0);
    assert.match(await failure(machine, caller, "math"), /app "math" in namespace "default" is not in the answers/);
    assert.equal(await answerer(machine, caller, "math.elsewhere"), other);
  });

  test("list and stop know the apps all the same", async (t) => {
    const machine = ownMachine(t);
    const home = ownHome(t);
    const app = await startMdns(t, machine, "math", { home });
    assert.deepEqual(
      (await listApps(home)).map(({ appId, pid }) => [appId, pid]),
      [["math", app.outrigger.pid]],
    );
    const stopped = await runToEnd(t, ["stop", "math"], { home, within: machine.within });
    assert.equal(stopped.code, 0, stopped.stderr);
    assert.equal((await ended(app.outrigger)).code, 0);
    assert.deepEqual(await listApps(home), []);
  });

  test("across machines, who listens on the network is found at its address, and who listens on loopback is not", async (t) => {
    const [left, right] = [ownMachine(t), ownMachine(t)];
    await left.connect(right, ["198.51.100.1", "198.51.100.2"]);
    const everywhere = ["--dapr-internal-grpc-listen-address", "0.0.0.0"];
    const [open, shut, caller] = await Promise.all([
      startMdns(t, left, "open", { flags: everywhere }),
      startMdns(t, left, "shut"),
      startMdns(t, right, "front"),
    ]);
    assert.match(open.outrigger.stderr, /announced by mDNS.*address=198\.51\.100\.1 /);
    assert.match(shut.outrigger.stderr, /announced by mDNS.*address=127\.0\.0\.1 /);
    assert.equal(await answerer(right, caller, "open"), await appPidOf(open));
    assert.match(await failure(right, caller, "shut"), /app "shut" in namespace "default" is not in the answers/);
    assert.equal(await answerer(left, open, "shut"), await appPidOf(shut));
  });

  test("a network that comes while it runs is used", async (t) => {
    const [left, right] = [ownMachine(t), ownMachine(t)];
    const flags = ["--dapr-internal-grpc-listen-address", "0.0.0.0"];
    const [app, caller] = await Promise.all([
      startMdns(t, left, "math", { env: { DAPR_HOST_IP: "198.51.100.1" }, flags }),
      startMdns(t, right, "front"),
    ]);
    assert.match(await failure(right, caller, "math"), /is not in the answers to mDNS/);
    await left.connect(right, ["198.51.100.1", "198.51.100.2"]);
    await waitFor("math to be found over the cable", async () => {
      const [status] = await right.fetch(invokeUrl(caller, "math"));
      return status === 200;
    });
    assert.equal(await answerer(right, caller, "math"), await appPidOf(app));
  });

  test("DAPR_HOST_IP is announced where it is set", async (t) => {
    const machine = ownMachine(t);
    const flags = ["--dapr-internal-grpc-listen-address", "0.0.0.0"];
    const app = await startMdns(t, machine, "math", { env: { DAPR_HOST_IP: "127.0.0.9" }, flags });
    assert.match(app.outrigger.stderr, /address=127\.0\.0\.9 /);
    const caller = await startMdns(t, machine, "front");
    assert.equal(await answerer(machine, caller, "math"), await appPidOf(app));
  });

  test("without any network it starts, says what to do, and ends", async (t) => {
    const machine = ownMachine(t, { loopback: false });
    const flags = ["--config", configuration(t, "{ component: mdns }")];
    const home = ownHome(t);
    const app = await startBeside(t, "math", undefined, { home, flags, within: machine.within });
    assert.match(app.outrigger.stderr, /mDNS has no way to other processes: .* choose the name resolution component/);
    assert.equal(app.outrigger.stderr.match(/no way to other processes/g)?.length, 1);
    assert.equal(await app.outrigger.stop(), 0);
  });
});

/** Calls from this test's own network. */
async function call({ api }: RunningApp, target: string, init?: RequestInit): Promise<[status: number, text: string]> {
  const response = await fetch(`${api}/v1.0/invoke/${target}/method/x`, init);
  return [response.status, await response.text()];
}

async function startStatic(
  t: TestContext,
  table: Readonly<Record<string, string | readonly string[]>>,
): Promise<RunningApp> {
  const file = configuration(t, `{ component: static, configuration: ${JSON.stringify(table)} }`);
  return startBeside(t, "caller", undefined, { home: ownHome(t), flags: ["--config", file] });
}

function internal({ listed }: RunningApp): string {
  return `127.0.0.1:${listed.internalPort}`;
}

async function startCallee(t: TestContext, answer: string, options: Partial<StartOptions> = {}): Promise<RunningApp> {
  const app = await startInTestApp(t, (_, response) => response.end(answer));
  return startBeside(t, "math", app.port, { home: ownHome(t), ...options });
}

describe("a table", { concurrency: 3, timeout: 240_000 }, () => {
  test("leads to the apps that are in it, to each of their instances, and to no other", async (t) => {
    const [one, two] = await Promise.all([startCallee(t, "one"), startCallee(t, "two")]);
    const unknown = await ownPort();
    const caller = await startStatic(t, { math: [internal(one), internal(two)], gone: `127.0.0.1:${unknown}` });
    const answers = [await call(caller, "math"), await call(caller, "math"), await call(caller, "math.default")];
    assert.deepEqual(new Set(answers.map(String)), new Set(["200,one", "200,two"]));
    const [status, text] = await call(caller, "other");
    assert.equal(status, 500);
    assert.match(
      text,
      /app \\"other\\" in namespace \\"default\\" is not in the table in .*config\.yaml; is it running/,
    );
    assert.match((await call(caller, "gone"))[1], /cannot reach the sidecar of gone at http:.*connection refused/);

    kill(one.outrigger.pid, "SIGKILL");
    await ended(one.outrigger);
    for (let calls = 0; calls < 4; calls++) assert.deepEqual(await call(caller, "math"), [200, "two"]);
  });

  test("sends calls with bodies and streams as any other hop", async (t) => {
    const app = await startInTestApp(t, (_, response, body) => response.end(body));
    const callee = await startBeside(t, "math", app.port, { home: ownHome(t) });
    const caller = await startStatic(t, { math: internal(callee) });
    const long = "x".repeat(300_000);
    for (const body of ["", "short", long])
      assert.deepEqual(await call(caller, "math", { method: "POST", body }), [200, body]);
    // What two Outriggers say to each other reaches no app.
    const names = app.whole.flatMap(({ headers }) => headers.filter((_, at) => at % 2 === 0));
    assert.deepEqual(
      names.filter((name) => name.toLowerCase().startsWith("outrigger-")),
      [],
    );
    const response = await fetch(`${caller.api}/v1.0/invoke/math/method/x`);
    assert.deepEqual(
      [...response.headers.keys()].filter((name) => name.startsWith("outrigger-")),
      [],
    );
  });

  test("carries a WebSocket too, and no foreign server's", async (t) => {
    const app = await startUpgradeApp(t);
    const callee = await startBeside(t, "math", app.port, { home: ownHome(t) });
    const caller = await startStatic(t, { math: internal(callee), foreign: `127.0.0.1:${app.port}` });
    const urlOf = (id: string): string => `${caller.api.replace("http:", "ws:")}/v1.0/invoke/${id}/method/ws`;
    const webSocket = new WebSocket(urlOf("math"));
    t.after(() => {
      webSocket.terminate();
    });
    await once(webSocket, "open");
    const echoed = once(webSocket, "message");
    webSocket.send("over the table");
    assert.equal(String((await echoed)[0]), "over the table");
    const refused = new WebSocket(urlOf("foreign"));
    const [error] = (await once(refused, "error")) as [Error];
    assert.match(error.message, /500/);
  });

  test("that leads to the app of another namespace, or to another app, is an error and never its answer", async (t) => {
    const app = await startInTestApp(t);
    const callee = await startBeside(t, "math", app.port, { home: ownHome(t), env: { NAMESPACE: "elsewhere" } });
    const caller = await startStatic(t, { math: internal(callee), other: internal(callee) });
    for (const id of ["math", "other"]) {
      const [status, text] = await call(caller, id);
      assert.equal(status, 500);
      assert.match(
        text,
        new RegExp(`cannot reach the sidecar of ${id} at .*: what answers there is the sidecar of math\\.elsewhere`),
      );
    }
    assert.deepEqual(app.begun, []);
    assert.deepEqual(await call(caller, "math.elsewhere"), [200, "ok"]);
  });

  test("that leads to a server that is no sidecar is an error, whatever the server answers", async (t) => {
    const app = await startInTestApp(t);
    const caller = await startStatic(t, { math: `127.0.0.1:${app.port}` });
    const [status, text] = await call(caller, "math");
    assert.equal(status, 500);
    assert.match(
      text,
      /cannot reach the sidecar of math at 127\.0\.0\.1:\d+: what listens there does not answer as a sidecar does: .* not in HTTP\/2/,
    );
  });

  test("that leads to a server of HTTP/2 that does not speak gRPC is an error that says so", async (t) => {
    const server = http2.createServer((_, response) => response.writeHead(404).end()).listen(0, "127.0.0.1");
    server.on("sessionError", () => undefined);
    await once(server, "listening");
    t.after(() => server.close());
    const caller = await startStatic(t, { math: `127.0.0.1:${(server.address() as AddressInfo).port}` });
    const [status, text] = await call(caller, "math");
    assert.equal(status, 500);
    assert.match(
      text,
      /what answers there does not speak gRPC \(HTTP status 404\); name the internal port of its Outrigger or daprd/,
    );
  });

  test("without an app of the same process does not keep it from being called there", async (t) => {
    const home = ownHome(t);
    const [ports, unknown] = [[await ownPort(), await ownPort()], await ownPort()];
    const table = configuration(t, `{ component: static, configuration: { gone: "127.0.0.1:${unknown}" } }`);
    const command = JSON.stringify([process.execPath, APP]);
    const apps = ["first", "second"].map(
      (id, at) =>
        `  - appID: ${id}\n    appDirPath: .\n    appPort: ${ports[at] ?? 0}\n    command: ${command}\n${at === 0 ? `    configFilePath: ${table}\n` : ""}`,
    );
    const folder = folderWith(t, { "dapr.yaml": `version: 1\napps:\n${apps.join("")}` });
    const outrigger = startOutrigger(t, ["run", "-f", folder], { home });
    const [first, second] = [await whenReady(outrigger, "first"), await whenReady(outrigger, "second")];
    assert.equal((await call(first, "second"))[0], 200);
    assert.equal((await call(second, "first"))[0], 200);
    assert.match((await call(first, "gone"))[1], /connection refused/);
    assert.match((await call(second, "gone"))[1], /is not in the registry/);
  });
});

const MISTAKES: [what: string, nameResolution: string, message: RegExp][] = [
  [
    "an unknown component",
    "{ component: mnds }",
    /config\.yaml:5: there is no name resolution component "mnds"; the components are registry, mdns, static; did you mean "mdns"\?/,
  ],
  [
    "one of Dapr's that is not here",
    "{ component: consul, configuration: { client: { address: 127.0.0.1:8500 } } }",
    /config\.yaml:5: spec\.nameResolution\.component "consul" is one of Dapr's that this version of Outrigger does not have/,
  ],
  [
    "a table with a slip",
    "\n    component: static\n    configuration:\n      math: 127.0.0.1",
    /config\.yaml:8: spec\.nameResolution\.configuration\.math: "127\.0\.0\.1" is no host:port/,
  ],
  [
    "a configuration where none is known",
    "\n    component: mdns\n    configuration:\n      ttl: 5",
    /config\.yaml:8: mdns takes no configuration; remove spec\.nameResolution\.configuration\.ttl/,
  ],
];

for (const [what, nameResolution, message] of MISTAKES) {
  test(`${what} stops the start`, async (t) => {
    const home = ownHome(t);
    const run = await runToEnd(t, ["run", "--app-id", "a", "--config", configuration(t, nameResolution)], { home });
    assert.equal(run.code, 1, run.stderr);
    assert.match(run.stderr, message);
    assert.deepEqual(await listApps(home), []);
  });
}
