import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_NAMESPACE, parseAppId } from "../core/app-id.ts";
import { DEFAULT_CONFIGURATION } from "../resources/default-configuration.ts";
import { bindPorts, distinctAddresses, UnluckyPort } from "./bind-ports.ts";
import { ListenError } from "./listen-error.ts";

const CASES: readonly [asked: string[], bound: string[]][] = [
  [["127.0.0.1"], ["127.0.0.1"]],
  [
    ["127.0.0.1", "::1"],
    ["127.0.0.1", "::1"],
  ],
  [
    ["127.0.0.1", "127.0.0.2", "127.0.0.1"],
    ["127.0.0.1", "127.0.0.2"],
  ],
  [["0.0.0.0", "127.0.0.1"], ["0.0.0.0"]],
  [
    ["127.0.0.1", "0.0.0.0", "::1"],
    ["0.0.0.0", "::1"],
  ],
  [["127.0.0.1", "::", "::1", "0.0.0.0"], ["::"]],
  [
    ["nowhere.invalid", "nowhere.invalid", "127.0.0.1"],
    ["nowhere.invalid", "127.0.0.1"],
  ],
];

for (const [asked, bound] of CASES) {
  test(`${asked.join(", ")} is listened on as ${bound.join(", ")}`, async () => {
    assert.deepEqual(await distinctAddresses(asked), bound);
  });
}

test("a name and the address it leads to are one", async () => {
  const distinct = await distinctAddresses(["localhost", "127.0.0.1", "::1"]);
  assert.equal(distinct[0], "localhost");
  assert.equal(distinct.length, 2);
});

type Settings = Parameters<typeof bindPorts>[0];
type Door = Parameters<typeof bindPorts>[1]["api"];

const SETTINGS: Settings = {
  app: { id: parseAppId("math"), namespace: DEFAULT_NAMESPACE },
  appPort: undefined,
  httpPort: 3500,
  grpcPort: 50_001,
  internalPort: 47_300,
  publicPort: undefined,
  listenAddresses: ["127.0.0.1", "127.0.0.2"],
  internalListenAddress: "127.0.0.1",
  publicListenAddress: "127.0.0.1",
  socketFolder: undefined,
  metrics: undefined,
};

const METRICS = { listenAddress: "127.0.0.1", spec: DEFAULT_CONFIGURATION.metrics };

/** Notes what it is asked for. Free ports count from 60000; on the addresses in `full`, nothing can be had. */
function door(asked: string[], full: readonly string[] = []): Door {
  let free = 60_000;
  return {
    listen: (host, port) => {
      const error = Object.assign(new Error("in use"), { code: "EADDRINUSE" });
      if (full.includes(host)) return Promise.reject(error);
      const bound = port === 0 ? free++ : port;
      asked.push(`${host}:${bound}`);
      return Promise.resolve(bound);
    },
    listenOnSocket: (path) => {
      asked.push(path);
      return Promise.resolve();
    },
  };
}

function bind(
  changes: Partial<Settings>,
  full: readonly string[] = [],
  appPorts: readonly number[] = [],
): { asked: string[]; ports: ReturnType<typeof bindPorts> } {
  const asked: string[] = [];
  const one = door(asked, full);
  const settings = { ...SETTINGS, ...changes };
  const open = settings.publicPort === undefined ? undefined : one;
  const doors = { api: one, grpc: one, peer: one, public: open, metrics: settings.metrics && one };
  return { asked, ports: bindPorts(settings, doors, new Set(appPorts)) };
}

test("each API is on every address with the same port, the others on their own", async () => {
  const { asked, ports } = bind({
    ...{ httpPort: 0, publicPort: 3501 },
    metrics: { ...METRICS, port: 9090 },
  });
  assert.deepEqual(await ports, { http: 60_000, grpc: 50_001, internal: 47_300, public: 3501, metrics: 9090 });
  assert.deepEqual(asked, [
    "127.0.0.1:60000",
    "127.0.0.2:60000",
    "127.0.0.1:50001",
    "127.0.0.2:50001",
    "127.0.0.1:47300",
    "127.0.0.1:3501",
    "127.0.0.1:9090",
  ]);
});

test("a free port that one of the addresses has not is bad luck; one that was asked for is missing", async () => {
  await assert.rejects(bind({ httpPort: 0 }, ["127.0.0.2"]).ports, UnluckyPort);
  await assert.rejects(bind({}, ["127.0.0.2"]).ports, ListenError);
  // No port at all is free there: another try would not help.
  await assert.rejects(bind({ httpPort: 0 }, ["127.0.0.1"]).ports, ListenError);
});

test("a free port that is an app's is bad luck", async () => {
  await assert.rejects(bind({ httpPort: 0 }, [], [60_000]).ports, UnluckyPort);
});

test("sockets take the place of the APIs' ports, which are then nobody's", async () => {
  const { asked, ports } = bind({ socketFolder: "/run/x", appPort: 3500, publicPort: 50_001 });
  const [http, grpc] = ["/run/x/dapr-math-http.socket", "/run/x/dapr-math-grpc.socket"];
  assert.deepEqual(await ports, { http, grpc, internal: 47_300, public: 50_001, metrics: undefined });
  assert.deepEqual(asked, [http, grpc, "127.0.0.1:47300", "127.0.0.1:50001"]);
});

for (const changes of [
  { appPort: 3500 },
  { appPort: 3501, publicPort: 3501 },
  { publicPort: 47_300 },
  { metrics: { ...METRICS, port: 3500 } },
  { appPort: 9090, metrics: { ...METRICS, port: 9090 } },
  { publicPort: 9090, metrics: { ...METRICS, port: 9090 } },
]) {
  test(`${JSON.stringify(changes)} is a clash, found before anything is bound`, async () => {
    const { asked, ports } = bind(changes);
    await assert.rejects(ports, { name: "SetupError", message: /^--\S+ and --\S+ are both \d+; / });
    assert.deepEqual(asked, []);
  });
}
