import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import { ManualClock } from "../../test/support/manual-clock.ts";
import { anApp } from "../../test/support/name-resolver-contract.ts";
import type { Logger } from "../core/logger.ts";
import { NO_RESOURCES } from "../resources/no-resources.ts";
import { LiveResources } from "./resources/live-resources.ts";
import { Sidecar } from "./sidecar.ts";
import type { SidecarSettings } from "./sidecar-settings.ts";

const settings: SidecarSettings = {
  app: anApp("math"),
  appPort: undefined,
  appChannelAddress: "127.0.0.1",
  appProtocol: "http",
  appTrust: undefined,
  appStartPatienceMs: 0,
  appMaxConcurrency: 0,
  appMaxQueue: 0,
  appHealth: undefined,
  httpPort: 0,
  grpcPort: 0,
  internalPort: 0,
  listenAddresses: ["127.0.0.1"],
  socketFolder: undefined,
  publicPort: undefined,
  publicListenAddress: "127.0.0.1",
  allowedOrigins: [],
  internalListenAddress: "127.0.0.1",
  apiHttp2: true,
  maxBodyBytes: 1024,
  readBufferBytes: 4096,
  gracefulShutdownMs: 0,
  apiTokens: [],
  appToken: undefined,
  preservePath: false,
  safeRetries: false,
  tracing: undefined,
  traceServiceName: undefined,
  grpcErrorStatus: "fixed",
  accessControl: undefined,
  nameResolution: undefined,
  pipelines: { http: [], app: [] },
  metrics: undefined,
  apiLogging: undefined,
  resourceWatch: undefined,
  defaultPubSub: false,
  hostAddress: "127.0.0.1",
  resources: NO_RESOURCES,
  command: "",
};

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => {
      resolve(false);
    });
  });
}

test("a registry that cannot be written keeps neither the announcement nor a port", async () => {
  const errors: unknown[] = [];
  let withdrawn = 0;
  const silent = (): void => undefined;
  const noUse = (): never => assert.fail("nobody calls");
  const log: Logger = {
    debug: silent,
    info: silent,
    warn: silent,
    error: (_, fields) => errors.push(fields?.["error"]),
  };
  const sidecar = new Sidecar(settings, {
    registry: {
      register: () =>
        Promise.resolve({
          update: () => Promise.resolve(),
          withdraw: () => Promise.reject(new Error("the disk is full")),
        }),
    },
    resources: new LiveResources(settings.pipelines, {
      app: settings.app,
      home: "",
      processes: { own: { pid: 0, startTime: "", pidNamespace: "" }, mayBeAlive: noUse },
      shared: { borrow: noUse },
      defaultPubSub: false,
      env: {},
      clock: new ManualClock(),
      log,
    }),
    tracer: undefined,
    endpointCaller: { call: () => Promise.reject(new Error("no endpoint")) },
    resolver: {
      description: "",
      staleMs: 0,
      worthAskingAgain: false,
      start: noUse,
      announce: () =>
        Promise.resolve({
          withdraw: () => {
            withdrawn++;
            return Promise.resolve();
          },
        }),
      resolve: noUse,
      reportUnreachable: noUse,
      close: noUse,
    },
    neighbours: { find: noUse },
    peers: { call: noUse },
    observer: { callEnded: noUse },
    appPorts: new Set(),
    clock: new ManualClock(),
    codec: "lean",
    log,
    onShutdown: noUse,
  });
  await sidecar.start();
  const { http, grpc, internal } = sidecar.ports;
  const ports = [Number(http), Number(grpc), internal];
  assert.deepEqual(await Promise.all(ports.map(accepts)), [true, true, true]);
  await sidecar.close();
  assert.equal(withdrawn, 1);
  assert.deepEqual(errors, ["the disk is full"]);
  assert.deepEqual(await Promise.all(ports.map(accepts)), [false, false, false]);
});
